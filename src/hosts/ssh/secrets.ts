/** What a person has typed for a host, as long as the window lives: a connection that was lost comes back without asking. */
export class Secrets {
  /** By key file. */
  readonly passphrases = new Map<string, string>();
  /** By `user@host:port`. */
  readonly passwords = new Map<string, string>();
  /** By `user@host:port`; only where the one thing asked for was a password: a one-time code is good once. */
  readonly answers = new Map<string, string>();

  forget(): void {
    this.passphrases.clear();
    this.passwords.clear();
    this.answers.clear();
  }
}
