/** A host as people paste it: what an ssh command says is what is connected to. */
import { freeName, parseSshWords } from '@host/hosts/sshWords';
import { describe, expect, it } from 'vitest';

describe('a host that is typed or pasted', () => {
  it.each([
    ['gpu-1', { hostName: 'gpu-1' }],
    ['me@gpu-1:2222', { hostName: 'gpu-1', user: 'me', port: 2222 }],
    ['ssh me@gpu-1', { hostName: 'gpu-1', user: 'me' }],
    ['ssh://me@gpu-1:2222/', { hostName: 'gpu-1', user: 'me', port: 2222 }],
    ['ssh -p 2222 -i ~/.ssh/key me@gpu-1', { hostName: 'gpu-1', user: 'me', port: 2222, identityFile: '~/.ssh/key' }],
    ['ssh -p2222 root@203.0.113.7 -L 8080:localhost:8080', { hostName: '203.0.113.7', user: 'root', port: 2222 }],
    ['ssh -fNL 8080:localhost:80 -l me gpu-1', { hostName: 'gpu-1', user: 'me' }],
    [
      'ssh -tt -o Port=2222 -o "StrictHostKeyChecking no" -o User=me gpu-1',
      { hostName: 'gpu-1', user: 'me', port: 2222 },
    ],
    ['ssh -i "/keys/my key" me@gpu-1 nvidia-smi', { hostName: 'gpu-1', user: 'me', identityFile: '/keys/my key' }],
    ['me@[2001:db8::1]:2222', { hostName: '2001:db8::1', user: 'me', port: 2222 }],
    ['ssh me@2001:db8::1', { hostName: '2001:db8::1', user: 'me' }],
  ])('%s', (text, host) => {
    expect(parseSshWords(text)).toEqual({ name: host.hostName, ...host });
  });

  it('keeps the name that it was pasted under where another address is given', () => {
    expect(parseSshWords('ssh -o HostName=203.0.113.7 me@gpu-1')).toEqual({
      name: 'gpu-1',
      hostName: '203.0.113.7',
      user: 'me',
    });
  });

  it.each([
    ['', 'user@host'],
    ['ssh -p', 'no value'],
    ['gpu-1:99999', 'no port'],
    ['ssh -p ssh me@gpu-1', 'no port'],
    ['ssh -J bastion me@gpu-1', 'ProxyJump'],
    ['ssh -o ProxyCommand="nc %h %p" me@gpu-1', 'ProxyJump'],
    ['me@@gpu-1', 'user@host'],
    ['[2001:db8::1', 'user@host'],
  ])('says what is wrong with "%s"', (text, part) => {
    expect(() => parseSshWords(text)).toThrow(part);
  });

  it('gives two ports of one machine names of their own', () => {
    const names: string[] = [];
    for (const text of ['root@box:2201', 'root@box:2202', 'root@box:2202', 'root@box:2203', 'root@box:2203']) {
      names.push(freeName(parseSshWords(text), (name) => names.includes(name)));
    }
    expect(new Set(names).size).toBe(5);
    expect(names.slice(0, 3)).toEqual(['box', 'root@box', 'box:2202']);
  });
});
