/** A window of VS Code as a person uses it: palette, quick picks, trees, notifications, panels. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Frame, FrameLocator, Locator, Page } from 'playwright-core';

export const ARTIFACTS = fileURLToPath(new URL('../../../artifacts/vscode', import.meta.url));

export type Theme = 'light' | 'dark';

export class Window {
  constructor(readonly page: Page) {}

  async ready(): Promise<void> {
    await this.page.locator('.activitybar .action-label[aria-label="Tuneyard"]').waitFor();
    await this.page.locator('.explorer-folders-view .monaco-list-row').first().waitFor();
    // While extensions start, what they contribute may not be in the palette yet.
    await this.page.locator('.statusbar-item').getByText('Activating Extensions').waitFor({ state: 'hidden' });
  }

  async reload(): Promise<void> {
    // VS Code keeps its state when the window loses focus; in a browser there is no time for that later.
    await this.page.evaluate(`document.hasFocus = () => false; window.dispatchEvent(new Event('blur'));`);
    await this.page.waitForTimeout(500);
    await this.page.reload();
    await this.page.locator('.activitybar .action-label[aria-label="Tuneyard"]').waitFor();
    await this.page.locator('.statusbar-item').getByText('Activating Extensions').waitFor({ state: 'hidden' });
  }

  get input(): Locator {
    return this.page.locator('.quick-input-widget:visible input:not([type=checkbox])');
  }

  /** The rows of a quick pick that are in view. */
  get choices(): Locator {
    return this.page.locator('.quick-input-widget:visible .quick-input-list .monaco-list-row');
  }

  /** Runs a command by its name in the palette: `Tuneyard: New Recipe`. */
  async command(name: string): Promise<void> {
    const row = this.choices.filter({ has: this.page.getByText(name, { exact: true }) }).first();
    for (let tries = 1; ; tries++) {
      await this.page.keyboard.press('F1');
      try {
        await this.input.fill(`>${name}`, { timeout: 5000 });
        await row.click({ timeout: 5000 });
        return;
      } catch (error) {
        // A panel that is just being loaded swallows the key; the palette lists what was there when it was opened.
        if (tries === 5) throw error;
        await this.page.keyboard.press('Escape');
      }
    }
  }

  /** Presses a key until what it brings is there: pressed too early, it does nothing. */
  async pressUntil(key: string, shows: Locator): Promise<void> {
    for (let tries = 1; ; tries++) {
      await this.page.keyboard.press(key);
      try {
        await shows.waitFor({ timeout: 5000 });
        return;
      } catch (error) {
        if (tries === 5) throw error;
      }
    }
  }

  /** The title of the question that is being asked. */
  question(title: string | RegExp): Locator {
    return this.page.locator('.quick-input-widget:visible .quick-input-title').filter({ hasText: title });
  }

  choice(text: string | RegExp): Locator {
    return this.choices.filter({ hasText: text }).first();
  }

  /** Chooses in a quick pick; without a text: what is offered first. */
  async pick(text?: string | RegExp): Promise<void> {
    if (text === undefined) {
      await this.choices.first().waitFor();
      await this.page.keyboard.press('Enter');
    } else await this.choice(text).click();
  }

  async type(text: string): Promise<void> {
    await this.input.fill(text);
    await this.page.keyboard.press('Enter');
  }

  /** Answers VS Code's own question for a file. While it reads the folder it writes into its box again. */
  async typePath(path: string): Promise<void> {
    await this.choices.first().waitFor();
    do {
      await this.input.fill(path);
      await this.page.waitForTimeout(500);
    } while ((await this.input.inputValue()) !== path);
    await this.page.keyboard.press('Enter');
  }

  /** Opens Tuneyard's views. A click on its icon would close them where they are open. */
  async showSidebar(): Promise<void> {
    await this.command('View: Show Tuneyard');
    await this.page.locator('.sidebar .composite.title').getByText('Tuneyard').waitFor();
  }

  get rows(): Locator {
    return this.page.locator('.sidebar .monaco-list-row');
  }

  /** A row of a tree in the side bar, by what a screen reader says. */
  row(name: string | RegExp): Locator {
    return this.page.locator('.sidebar').getByRole('treeitem', { name }).first();
  }

  /** The same, of one of the views: a host with runs is in both. */
  rowOf(view: string, name: string | RegExp): Locator {
    return this.page.locator('.sidebar').getByRole('tree', { name: view }).getByRole('treeitem', { name }).first();
  }

  async expand(row: Locator): Promise<void> {
    if ((await row.getAttribute('aria-expanded')) === 'false') await row.locator('.monaco-tl-twistie').click();
  }

  /** Presses a button of a row, which shows when the mouse is over it. */
  async act(row: Locator, button: string): Promise<void> {
    await row.hover();
    await row.getByRole('button', { name: button }).click();
  }

  /** Chooses from a row's context menu, which takes no click in the moment in which it opens. */
  async menu(row: Locator, item: string): Promise<void> {
    const choice = this.page
      .locator('.context-view, .monaco-menu-container')
      .getByRole('menuitem', { name: item })
      .first();
    for (let attempt = 1; ; attempt++) {
      await row.click({ button: 'right' });
      try {
        await choice.waitFor({ timeout: 10_000 });
        break;
      } catch (error) {
        // A view that is drawn anew in that moment closes it
        if (attempt === 5) throw error;
        await this.page.keyboard.press('Escape');
      }
    }
    await this.page.waitForTimeout(300);
    await choice.click();
    await choice.waitFor({ state: 'hidden', timeout: 2000 }).catch(() => choice.click());
  }

  notification(text: string | RegExp): Locator {
    return this.page.locator('.notification-toast').filter({ hasText: text });
  }

  /** Waits for something, as long as no error is shown. */
  async appears(what: Locator, timeout: number): Promise<void> {
    const error = this.page.locator('.notification-toast:has(.codicon-error)');
    await what.or(error).first().waitFor({ timeout });
    if (!(await what.isVisible())) throw new Error((await this.toasts()).join(' | '));
  }

  /** All that is shown as notification, for the message of a test that fails. */
  async toasts(): Promise<string[]> {
    return this.page.locator('.notification-toast .notification-list-item-message').allInnerTexts();
  }

  dialog(text: string | RegExp): Locator {
    return this.page.locator('.monaco-dialog-box').filter({ hasText: text });
  }

  async closeNotifications(): Promise<void> {
    await this.command('Notifications: Clear All Notifications');
    await this.page.locator('.notification-toast').first().waitFor({ state: 'detached' });
  }

  /** The page of the panel that is in view, where there is only one. */
  get panel(): FrameLocator {
    return this.page.frameLocator('iframe.webview.ready').frameLocator('#active-frame');
  }

  tab(title: string | RegExp): Locator {
    return this.page.locator('.tabs-container .tab').filter({ hasText: title });
  }

  /** The page of a panel that is in view, told from others by something that only it has. */
  async panelWith(having: string): Promise<Frame> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      for (const frame of this.page.frames()) {
        // Frames come and go while they are looked at.
        if (frame.name() !== 'active-frame' && !frame.url().includes('fake.html')) continue;
        if (
          await frame
            .locator(having)
            .first()
            .isVisible()
            .catch(() => false)
        )
          return frame;
      }
      if (Date.now() > deadline) throw new Error(`no panel with ${having} came into view`);
      await this.page.waitForTimeout(100);
    }
  }

  /** The text of the editor that is in view, as far as it is drawn. */
  get editor(): Locator {
    return this.page.locator('.editor-instance .view-lines').first();
  }

  codeLens(text: string): Locator {
    return this.page.locator('.codelens-decoration a').filter({ hasText: text }).first();
  }

  async openFile(name: string): Promise<void> {
    await this.command('Go to File...');
    await this.input.fill(name);
    await this.choice(name).click();
    await this.page.locator('.tabs-container .tab.active').filter({ hasText: name }).waitFor();
  }

  /** What VS Code has measured of its own start, as the text it shows. */
  async startupPerformance(): Promise<string> {
    await this.command('View: Close All Editors');
    await this.command('Developer: Startup Performance');
    await this.editor.getByText('System Info').waitFor();
    await this.editor.click();
    await this.page.keyboard.press('Control+A');
    await this.page.keyboard.press('Control+C');
    return this.page.evaluate('navigator.clipboard.readText()');
  }

  async theme(kind: Theme): Promise<void> {
    await this.page.emulateMedia({ colorScheme: kind });
    await this.page.locator(`.monaco-workbench.${kind === 'light' ? 'vs' : 'vs-dark'}`).waitFor();
  }

  /** Keeps pictures in artifacts/vscode: NAME-light.png and NAME-dark.png. */
  async screenshots(name: string): Promise<void> {
    // No caret that blinks, no hover that happens to stand there.
    await this.page.mouse.move(720, 895);
    for (const kind of ['light', 'dark'] as const) {
      await this.theme(kind);
      await this.screenshot(`${name}-${kind}`);
    }
  }

  async screenshot(name: string): Promise<void> {
    await this.page.screenshot({ path: join(ARTIFACTS, `${name}.png`), animations: 'disabled', caret: 'hide' });
  }
}
