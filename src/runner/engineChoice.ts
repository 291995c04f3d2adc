/** Which ONNX Runtime a host gets: with CUDA where driver and libraries fit, else for the CPU, and why. */
import * as l10n from '@vscode/l10n';
import { compareVersions, type HostFacts } from './look';

export interface EngineChoice {
  provider: 'cpu' | 'cuda12';
  /** For the person, where a GPU is there and is not used. */
  obstacle?: string;
}

/** The oldest driver that serves CUDA 12 on Linux (NVIDIA's table of CUDA 12.0). */
const OLDEST_DRIVER = '525.60.13';
/** What ONNX Runtime's CUDA 12 provider is linked to. */
const LIBRARIES = [
  'libcudart.so.12',
  'libcublas.so.12',
  'libcublasLt.so.12',
  'libcudnn.so.9',
  'libcurand.so.10',
  'libcufft.so.11',
];

export function chooseEngine({ os, machine, driver, libraries }: HostFacts): EngineChoice {
  if (driver === undefined) return { provider: 'cpu' };
  const cpu = (obstacle: string): EngineChoice => ({ provider: 'cpu', obstacle });
  if (os !== 'Linux' || machine !== 'x86_64') {
    return cpu(l10n.t('ONNX Runtime has CUDA for Linux on x86-64 only; this is {0} on {1}.', os, machine));
  }
  if (compareVersions(driver, OLDEST_DRIVER) < 0) {
    return cpu(l10n.t('NVIDIA’s driver {0} is too old for CUDA 12: install {1} or newer.', driver, OLDEST_DRIVER));
  }
  const missing = LIBRARIES.filter((library) => !libraries.includes(library));
  if (missing.length === 0) return { provider: 'cuda12' };
  const others = libraries.filter((library) =>
    missing.some((name) => name.replace(/\d+$/, '') === library.replace(/\d+$/, '')),
  );
  return cpu(
    others.length > 0
      ? l10n.t(
          '{0} is missing; there is {1}, which is of another CUDA version. Install the libraries of CUDA 12 and cuDNN 9.',
          missing.join(', '),
          others.join(', '),
        )
      : l10n.t('{0} is missing. Install the libraries of CUDA 12 and cuDNN 9.', missing.join(', ')),
  );
}
