/** The page of a panel: nothing may run or load in it but our own script and style. */

export interface PanelPage {
  title: string;
  /** Of the editor, such as `zh-cn`. */
  language: string;
  /** Made anew for each page: what scripts may run. */
  nonce: string;
  /** Another one, which the toolkit's scripts may read: they try out styles in an element of their own. */
  styleNonce: string;
  /** Where the webview may load styles from, as VS Code names it. */
  cspSource: string;
  script: string;
  style: string;
  /** Translations, as `vscode.l10n.bundle` holds them. */
  translations: Record<string, unknown> | undefined;
  /** What the page was kept with, when it is shown the first time; later the page has its own. */
  state: unknown;
}

export function panelHtml(page: PanelPage): string {
  const { nonce } = page;
  const policy = `default-src 'none'; script-src 'nonce-${nonce}'; style-src ${page.cspSource} 'nonce-${page.styleNonce}';`;
  return `<!DOCTYPE html>
<html lang="${attribute(page.language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${attribute(policy)}">
<meta property="csp-nonce" content="${page.styleNonce}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${attribute(page.title)}</title>
<link rel="stylesheet" href="${attribute(page.style)}">
</head>
<body>
<main></main>
<script type="application/json" id="translations" nonce="${nonce}">${json(page.translations ?? null)}</script>
<script type="application/json" id="state" nonce="${nonce}">${json(page.state ?? null)}</script>
<script nonce="${nonce}" src="${attribute(page.script)}"></script>
</body>
</html>
`;
}

/** No text in it can end the script element. */
const json = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');

const attribute = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
