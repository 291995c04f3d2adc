import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const read = (path: string) => readFileSync(`${ROOT}/${path}`, 'utf8');

interface MenuItem {
  command: string;
  when?: string;
}
const manifest = JSON.parse(read('package.json')) as {
  activationEvents: string[];
  icon: string;
  contributes: {
    commands: { command: string; title: string; icon: string; category: string }[];
    menus: Record<string, MenuItem[]>;
    views: Record<string, { id: string }[]>;
    viewsWelcome: { view: string; contents: string }[];
    walkthroughs: { steps: { media: { svg: string }; completionEvents: string[] }[] }[];
    configuration: { properties: Record<string, { default: unknown; markdownDescription: string }> };
  };
};
const { contributes } = manifest;
const ids = contributes.commands.map(({ command }) => command);
const english = JSON.parse(read('package.nls.json')) as Record<string, string>;

/** Every text in the manifest, with where it stands. */
function* strings(node: unknown, place: string): Generator<[string, string]> {
  if (typeof node === 'string') yield [place, node];
  else if (typeof node === 'object' && node !== null) {
    for (const [key, child] of Object.entries(node)) yield* strings(child, `${place}.${key}`);
  }
}

describe('the manifest', () => {
  it('offers no command that nothing answers', () => {
    const sources = readdirSync(`${ROOT}/src`, { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.ts'),
    );
    const code = sources.map((path) => read(`src/${path}`)).join('\n');
    const answered = new Set([...code.matchAll(/'(tuneyard\.[\w.]+)':/g)].map(([, id]) => id));
    expect(ids.filter((id) => !answered.has(id))).toEqual([]);
  });

  it('puts into menus, welcome texts and the walkthrough only commands there are', () => {
    const menus = Object.values(contributes.menus).flat();
    expect(menus.map(({ command }) => command).filter((id) => !ids.includes(id))).toEqual([]);
    for (const text of Object.values(english)) {
      for (const [, id] of text.matchAll(/\(command:(tuneyard[\w.]+)/g)) expect(ids).toContain(id);
    }
    const events = contributes.walkthroughs.flatMap(({ steps }) => steps.flatMap((step) => step.completionEvents));
    for (const event of events.filter((name) => name.startsWith('onCommand:'))) expect(ids).toContain(event.slice(10));
  });

  it('shows menus in views that there are', () => {
    const views = Object.values(contributes.views)
      .flat()
      .map(({ id }) => id);
    const whens = Object.values(contributes.menus).flatMap((items) => items.map(({ when }) => when ?? ''));
    const named = whens.flatMap((when) => [...when.matchAll(/view == ([\w.]+)/g)].map(([, view]) => view));
    expect([...new Set(named)].sort()).toEqual([...views].sort());
    for (const { view } of contributes.viewsWelcome) expect(views).toContain(view);
  });

  it('gives every command a title, a category and an icon', () => {
    for (const { title, category, icon } of contributes.commands) {
      expect(english[title.slice(1, -1)]).toBeTruthy();
      expect(category).toBe('Tuneyard');
      expect(icon).toMatch(/^\$\([a-z-]+\)$/);
    }
  });

  it('refers only to files that are there', () => {
    const files = [...strings(manifest, 'package')].map(([, text]) => english[text.slice(1, -1)] ?? text);
    const named = files.filter((text) => /^(\.\/)?media\//.test(text) && !/recipe\.schema/.test(text));
    expect(named.length).toBeGreaterThan(8);
    expect(named.filter((path) => !existsSync(`${ROOT}/${path}`))).toEqual([]);
  });

  it('draws the walkthrough without inline styles, which VS Code’s page for it would not apply', () => {
    const pictures = contributes.walkthroughs.flatMap(({ steps }) => steps.map(({ media }) => media.svg));
    expect(pictures.length).toBeGreaterThan(3);
    for (const picture of pictures) expect(read(picture)).not.toContain('style=');
  });

  it('has no text in one language only', () => {
    const keys = [...strings(contributes, 'contributes'), ...strings(manifest, 'package')].map(([, text]) => text);
    const used = new Set(keys.filter((text) => /^%.*%$/.test(text)).map((text) => text.slice(1, -1)));
    expect([...used].sort()).toEqual(Object.keys(english).sort());
    const chinese = JSON.parse(read('package.nls.zh-cn.json')) as Record<string, string>;
    expect(Object.keys(chinese).sort()).toEqual(Object.keys(english).sort());
  });

  it('describes its settings, and activates for no more than it must', () => {
    for (const { markdownDescription } of Object.values(contributes.configuration.properties)) {
      expect(markdownDescription).toMatch(/^%setting\..*%$/);
    }
    // Runs that go on are to be found again when a window opens, wherever it opens.
    expect(manifest.activationEvents).toEqual(['onStartupFinished']);
  });
});
