import { panelHtml } from '@host/panels/panelHtml';
import { describe, expect, it } from 'vitest';

const page = (more: Partial<Parameters<typeof panelHtml>[0]> = {}) =>
  panelHtml({
    title: 'Loss',
    language: 'en',
    nonce: 'n0',
    styleNonce: 's0',
    cspSource: 'https://cdn.example',
    script: 'https://cdn.example/loss.js',
    style: 'https://cdn.example/loss.css',
    translations: undefined,
    state: undefined,
    ...more,
  });

describe('the page of a panel', () => {
  it('runs and loads nothing but our own script and style', () => {
    const [, policy] = /Content-Security-Policy" content="([^"]*)"/.exec(page())!;
    expect(policy!.replaceAll('&#39;', "'")).toBe(
      "default-src 'none'; script-src 'nonce-n0'; style-src https://cdn.example 'nonce-s0';",
    );
    expect(page().match(/<script(?! (type="application\/json" id="\w+" )?nonce="n0")/g)).toBeNull();
  });

  it('holds kept state and titles as data: nothing in them becomes markup', () => {
    const evil = '</script><script>alert(1)</script><!--';
    const html = page({ title: `"><img src=x>${evil}`, state: { evil }, translations: { evil } });
    expect(html).not.toContain('<script>alert');
    expect(html).not.toContain('<img');
    expect(html).not.toContain('<!--');
    const [, state] = /id="state"[^>]*>([^<]*)</.exec(html)!;
    expect(JSON.parse(state!)).toEqual({ evil });
  });
});
