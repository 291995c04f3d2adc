/** What installing on a host is given and gives. */

/** What is being done before a runner is there: "Connecting", "Installing runner", with 0–1 where it is known. */
export type OnProgress = (stage: string, fraction?: number) => void;

export interface InstallSettings {
  /** Official builds of Node: `https://nodejs.org/dist`, or a mirror of it. */
  nodeMirror: string;
  npmRegistry: string;
  nuget: string;
}

export interface InstallContext {
  settings: InstallSettings;
  /** The runner's folder in the extension. */
  runnerFolder: string;
  /** Folder on this machine for what is sent to hosts without a network. */
  cache: string;
  /** Names this window among others that may install at the same time. */
  owner: string;
  signal?: AbortSignal;
  onProgress: OnProgress;
  log(text: string): void;
}

export interface InstalledRunner {
  /** What starts it: Node and the program, absolute. */
  node: string;
  program: string;
}
