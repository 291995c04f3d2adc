/** A look at a host before anything is put there: one command, whatever the host is. */
import { TuneyardError } from '@protocol/errors';
import * as l10n from '@vscode/l10n';
import type { Host } from '../hosts/host';

export interface HostFacts {
  /** The user's home directory. */
  home: string;
  /** `Linux`, `Darwin`; `x86_64`, `aarch64`, `arm64`. */
  os: string;
  machine: string;
  /** musl in place of glibc: Node's and ONNX Runtime's official builds do not run there. */
  isMusl: boolean;
  /** Node programs that run, newest first. */
  nodes: { path: string; version: string }[];
  tools: string[];
  /** NVIDIA's driver, where there is a GPU. */
  driver: string | undefined;
  /** Libraries that the loader finds: `libcublas.so.12`. */
  libraries: string[];
  freeBytes: number | undefined;
  /** What an earlier installation of this very runner left: the Node to start it with, and what it was to compute with. */
  ready: { node: string; provider: string } | undefined;
}

const KEY = 'tuneyard:';

/** Where CUDA's own installer puts it, without telling the loader. For sh, with wildcards. */
export const CUDA_FOLDERS = '/usr/local/cuda*/lib64 /usr/local/cuda*/targets/*/lib';

/**
 * POSIX sh. $1: the runner's id. It ends early where everything is there; for the CPU only because a GPU was missing
 * something, it looks whether that has come meanwhile. `timeout` is not everywhere, so that a Node
 * that hangs is bounded by the time limit of the whole.
 */
const SCRIPT = `
say() { printf '${KEY}%s=%s\\n' "$1" "$2"; }
gpu() {
  command -v nvidia-smi >/dev/null 2>&1 || return 0
  say driver "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)"
  { /sbin/ldconfig -p 2>/dev/null || ldconfig -p 2>/dev/null; ls $(printf '%s' "\${LD_LIBRARY_PATH:-}" | tr ':' ' ') ${CUDA_FOLDERS} 2>/dev/null; } |
    grep -oE 'lib(cudart|cublas|cublasLt|cudnn|curand|cufft)\\.so\\.[0-9]+' | sort -u | while read -r l; do say library "$l"; done
}
say home "$HOME"; say os "$(uname -s)"; say machine "$(uname -m)"
T="$HOME/.tuneyard"; R="$T/runner/$1/ready"
if [ -f "$R" ]; then
  node=$(sed -n 's/^node=//p' "$R"); engine=$(sed -n 's/^engine=//p' "$R"); provider=$(sed -n 's/^provider=//p' "$R")
  if [ -x "$node" ] && [ -d "$T/engine/$engine/node_modules/onnxruntime-node" ]; then
    say ready_node "$node"; say ready_provider "$provider"; touch "$T/runner/$1" 2>/dev/null
    [ "$provider" = cpu ] && gpu
    exit 0
  fi
fi
if ldd --version 2>&1 | grep -qi musl; then say musl 1; fi
try() { [ -x "$1" ] || return 0; v=$("$1" -p 'process.versions.node' 2>/dev/null) && say node "$v $1"; }
try "$(command -v node 2>/dev/null)"
case "\${SHELL:-}" in */bash|*/zsh|*/ksh|*/dash|*/sh) try "$("$SHELL" -lc 'command -v node' 2>/dev/null </dev/null | tail -n 1)";; esac
for n in "$T"/node/*/bin/node "$HOME"/.nvm/versions/node/*/bin/node "$HOME"/.volta/bin/node "$HOME"/.asdf/installs/nodejs/*/bin/node "$HOME"/.local/share/fnm/node-versions/*/installation/bin/node "$HOME"/.local/bin/node /usr/local/bin/node /opt/node*/bin/node /opt/homebrew/bin/node; do try "$n"; done
for t in curl wget; do command -v $t >/dev/null 2>&1 && say tool $t; done
gpu
say free "$(df -Pk "$HOME" 2>/dev/null | awk 'NR==2{print $4}')"
`;

const LIMIT_MS = 45_000;

/** @throws TuneyardError what `Host.exec` throws; `platform_unsupported`, `remote_failed` where it has no POSIX shell */
export async function lookAtHost(host: Host, runnerId: string, signal?: AbortSignal): Promise<HostFacts> {
  const { stdout, stderr, code } = await host.exec(['sh', '-c', SCRIPT, 'sh', runnerId], {
    timeoutMs: LIMIT_MS,
    ...(signal && { signal }),
  });
  const said = new Map<string, string[]>();
  for (const line of stdout.split('\n')) {
    const [, key, value = ''] = /^tuneyard:(\w+)=(.*)$/.exec(line.trimEnd()) ?? [];
    if (key) said.set(key, [...(said.get(key) ?? []), value.trim()]);
  }
  const one = (key: string) => said.get(key)?.[0];
  const home = one('home');
  if (home === undefined && code === 127) {
    throw new TuneyardError(
      'platform_unsupported',
      l10n.t('{0} has no POSIX shell; use Linux or macOS, or on Windows a machine reached over SSH.', host.label),
    );
  }
  if (home === undefined) {
    throw new TuneyardError(
      'remote_failed',
      l10n.t(
        '{0} did not answer as a POSIX shell does (status {1}): {2}',
        host.label,
        code,
        (stderr || stdout).trim().slice(-200),
      ),
    );
  }
  const nodes = (said.get('node') ?? []).map((line) => {
    const [version = '', ...path] = line.split(' ');
    return { version, path: path.join(' ') };
  });
  const node = one('ready_node');
  const provider = one('ready_provider');
  const free = Number(one('free'));
  return {
    home,
    os: one('os') ?? '',
    machine: one('machine') ?? '',
    isMusl: said.has('musl'),
    nodes: unique(nodes).sort((a, b) => compareVersions(b.version, a.version)),
    tools: said.get('tool') ?? [],
    driver: one('driver') || undefined,
    libraries: said.get('library') ?? [],
    freeBytes: free > 0 ? free * 1024 : undefined,
    ready: node !== undefined && provider !== undefined ? { node, provider } : undefined,
  };
}

const unique = <T extends { path: string }>(all: readonly T[]): T[] =>
  all.filter(({ path }, i) => all.findIndex((each) => each.path === path) === i);

export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left![i] ?? 0) - (right![i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
