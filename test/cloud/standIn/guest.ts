/**
 * The inside of a VM: a real sshd on an address of its own in 127.0.0.0/8, a home directory, a metadata server, an
 * `nvidia-smi` that answers for its GPUs, and its startup script, really run.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, watch } from 'node:fs';
import { chmod, cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { makeKey, startServer, stopServer } from '../../support/ssh/sshd';
import { GPU_NAMES } from './catalog';
import { type MetadataServerStandIn, type MetadataSource, startMetadataServer } from './metadata';

export interface GuestOptions {
  dir: string;
  name: string;
  sshPort: number;
  /** The stand-in's, for those on the VM who speak to Google themselves. */
  endpoint: string;
  gpu: { type: string; count: number } | undefined;
  source: MetadataSource;
  /** The guest has switched itself off. */
  onPowerOff(): void;
}

export class Guest {
  address = '';
  /** What it has printed on its serial port. */
  serial = '';
  /** The guest's own attributes: `hostkeys/ssh-ed25519`, `tuneyard/state`. */
  readonly attributes = new Map<string, string>();
  metadata: MetadataServerStandIn | undefined;
  #sshd: ChildProcess | undefined;
  #startup: ChildProcess | undefined;
  #stopWatching: (() => void) | undefined;

  constructor(private readonly options: GuestOptions) {}

  /** `$HOME` of whoever logs in. It lies on the boot disk. */
  get home(): string {
    return join(this.options.dir, 'home');
  }

  /** A fresh disk, or one that a snapshot was taken of. */
  async makeDisk(snapshot?: string): Promise<void> {
    await mkdir(join(this.options.dir, 'bin'), { recursive: true });
    if (snapshot === undefined) await mkdir(join(this.home, '.ssh'), { recursive: true });
    else await cp(snapshot, this.home, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  }

  /** As far as logging in is possible. Its host keys are made at the first boot. */
  async boot(address: string, { hasDriver }: { hasDriver: boolean }): Promise<void> {
    const { dir, name, source } = this.options;
    this.address = address;
    this.metadata ??= await startMetadataServer(source);
    const key = join(dir, 'host_ed25519');
    if (!existsSync(key)) await makeKey(key, 'ed25519');
    const line = readFileSync(`${key}.pub`, 'utf8').trim();
    const [type, blob] = line.split(' ') as [string, string];
    if (source.attributes()['enable-guest-attributes']?.toUpperCase() === 'TRUE') {
      this.attributes.set(`hostkeys/${type}`, blob);
    }
    this.print('Booting Linux');
    this.print(`-----BEGIN SSH HOST KEY KEYS-----\n${type} ${blob} root@${name}\n-----END SSH HOST KEY KEYS-----`);
    if (hasDriver) await this.installDriver();
    else await rm(join(dir, 'bin/nvidia-smi'), { force: true });
    await this.writeKeys();
    await this.#startSshd();
    await this.#runStartupScript();
  }

  /** Its program answers from now on. */
  async installDriver(): Promise<void> {
    const { gpu, dir } = this.options;
    if (!gpu) return;
    const file = join(dir, 'bin/nvidia-smi');
    await writeFile(file, nvidiaSmi(gpu, join(dir, 'utilization')));
    await chmod(file, 0o755);
    this.print('NVIDIA driver 580.82.07 installed');
  }

  /** Whose metadata has changed. */
  async writeKeys(): Promise<void> {
    const items = this.options.source.attributes();
    const byLogin = this.loginKeys();
    if (byLogin) {
      // Where OS Login is on, keys in metadata open nothing.
      await writeFile(join(this.options.dir, 'authorized_keys'), byLogin.map((key) => `${key}\n`).join(''));
      this.metadata?.changed();
      return;
    }
    const lines = (items['ssh-keys'] ?? '').split('\n').flatMap((line) => {
      // `USER:ssh-ed25519 AAAA… google-ssh {"userName":…,"expireOn":…}`
      const found = /^[^:]+:((?:ssh|ecdsa)-\S+ \S+)(?:.*"expireOn":\s*"([^"]+)")?/.exec(line.trim());
      return found?.[1] ? [{ key: found[1], until: found[2] }] : [];
    });
    const kept = lines.filter(({ until }) => until === undefined || this.isAhead(until));
    await writeFile(join(this.options.dir, 'authorized_keys'), kept.map(({ key }) => `${key}\n`).join(''));
    this.metadata?.changed();
  }

  /** Set by the owner: who is let in by OS Login; undefined where it is off. */
  loginKeys: () => string[] | undefined = () => undefined;

  /** Set by the owner, who has the clock. */
  isAhead: (time: string) => boolean = () => true;

  setUtilization(percent: number): Promise<void> {
    return writeFile(join(this.options.dir, 'utilization'), String(percent));
  }

  print(text: string): void {
    this.serial += `${text}\n`;
  }

  /** The network is gone for a moment, as at the reboot that a driver's installation ends with. */
  async restartSshd(): Promise<void> {
    await this.#stopSshd();
    await this.#startSshd();
  }

  /** As the operating system goes down: everybody is told, and after the grace nobody is left. */
  async shutDown(grace: Promise<unknown>): Promise<void> {
    this.#stopWatching?.();
    for (const pid of this.#supervisors()) signal(-pid, 'SIGTERM');
    this.#startup?.kill('SIGTERM');
    let isOver = false;
    void grace.then(() => {
      isOver = true;
    });
    while (!isOver && this.#supervisors().length > 0) await delay(20);
    await this.#stopSshd();
    for (const pid of processesOf(this.options.dir)) signal(pid, 'SIGKILL');
    await this.metadata?.close();
    this.metadata = undefined;
    this.print('Power down');
  }

  async removeDisk(): Promise<void> {
    await rm(this.options.dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  #supervisors(): number[] {
    try {
      const pid = Number(readFileSync(join(this.home, '.tuneyard/watchdog/supervisor.pid'), 'utf8'));
      return pid > 1 && existsSync(`/proc/${pid}`) && processesOf(this.options.dir).includes(pid) ? [pid] : [];
    } catch {
      return [];
    }
  }

  async #startSshd(): Promise<void> {
    const { dir, sshPort } = this.options;
    const config = join(dir, 'sshd_config');
    await mkdir('/run/sshd', { recursive: true }).catch(() => {});
    await writeFile(
      config,
      [
        `Port ${sshPort}`,
        `ListenAddress ${this.address}`,
        `HostKey ${join(dir, 'host_ed25519')}`,
        `AuthorizedKeysFile ${join(dir, 'authorized_keys')}`,
        `PidFile ${join(dir, 'sshd.pid')}`,
        `SetEnv HOME=${this.home} PATH=${join(dir, 'bin')}:${process.env.PATH} TUNEYARD_VM=${this.options.name}`,
        'StrictModes no',
        'UsePAM no',
        'PermitRootLogin yes',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'PrintMotd no',
        'MaxStartups 100',
        'Subsystem sftp internal-sftp',
        '',
      ].join('\n'),
    );
    this.#sshd = await startServer({
      configFile: config,
      log: join(dir, 'sshd.log'),
      address: this.address,
      port: sshPort,
    });
  }

  async #stopSshd(): Promise<void> {
    const child = this.#sshd;
    this.#sshd = undefined;
    if (child) await stopServer(child);
  }

  async #runStartupScript(): Promise<void> {
    const script = this.options.source.attributes()['startup-script'];
    if (script === undefined) return;
    const { dir, endpoint } = this.options;
    const [file, powerOff, flag] = ['startup.sh', 'bin/power-off', 'powered-off'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    await rm(flag, { force: true });
    await writeFile(file, script);
    await writeFile(powerOff, `#!/bin/sh\n: > '${flag}'\n`);
    await chmod(powerOff, 0o755);
    const watcher = watch(dir, (_, name) => {
      if (name !== 'powered-off' || !existsSync(flag)) return;
      watcher.close();
      this.options.onPowerOff();
    });
    this.#stopWatching = () => watcher.close();
    this.#startup = spawn('/bin/bash', [file], {
      cwd: this.home,
      detached: true,
      stdio: 'ignore',
      env: {
        ...process.env,
        HOME: this.home,
        PATH: `${join(dir, 'bin')}:${process.env.PATH}`,
        GCE_METADATA_HOST: this.metadata!.host,
        TUNEYARD_GCE_ENDPOINT: endpoint,
        TUNEYARD_VM_HOME: this.home,
        TUNEYARD_POWEROFF: powerOff,
        TUNEYARD_HOME: '',
      },
    });
    this.#startup.unref();
  }
}

/** Prints for people, or what is queried, once or again and again; how busy the GPUs are stands in a file. */
function nvidiaSmi({ type, count }: { type: string; count: number }, utilization: string): string {
  const { name, memory } = GPU_NAMES[type]!;
  return `#!/bin/bash
query=; units=1; loop=
for argument in "$@"; do
  case "$argument" in
    --query-gpu=*) query=\${argument#*=} ;;
    --format=*nounits*) units= ;;
    --loop=*|-l*) loop=1 ;;
    --loop-ms=*) loop=1 ;;
  esac
done
show() {
  busy=$(cat '${utilization}' 2>/dev/null || echo 0)
  if [ -z "$query" ]; then
    echo "| NVIDIA-SMI 580.82.07    Driver Version: 580.82.07    CUDA Version: 13.0     |"
    for i in $(seq 0 ${count - 1}); do echo "|   $i  ${name}   On  |  0MiB / ${memory}MiB |  $busy%  Default |"; done
    return
  fi
  for i in $(seq 0 ${count - 1}); do
    line=
    for field in \${query//,/ }; do
      case "$field" in
        index) value=$i ;;
        name|gpu_name) value='${name}' ;;
        memory.total) value="${memory}\${units:+ MiB}" ;;
        memory.used) value="$((busy * ${memory} / 100))\${units:+ MiB}" ;;
        utilization.gpu) value="$busy\${units:+ %}" ;;
        driver_version) value=580.82.07 ;;
        *) echo "Field \\"$field\\" is not a valid field to query."; exit 2 ;;
      esac
      line="$line\${line:+, }$value"
    done
    echo "$line"
  done
}
show
while [ -n "$loop" ]; do sleep 1; show; done
`;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone meanwhile.
  }
}

/** What runs on the VM: its home is in their command line, their environment or is where they are. */
function processesOf(dir: string): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8');
      const isOurs =
        read('cmdline').includes(`${dir}/`) ||
        `${readlinkSync(`/proc/${pid}/cwd`)}/`.startsWith(`${dir}/`) ||
        read('environ').includes(`HOME=${dir}/home`);
      return isOurs ? [pid] : [];
    } catch {
      return [];
    }
  });
}
