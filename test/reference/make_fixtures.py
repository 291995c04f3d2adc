"""Make the reference fixtures: numbers from torch and transformers that the TypeScript side must reproduce.

    pip install -r test/reference/requirements.txt
    python test/reference/make_fixtures.py            # everything
    python test/reference/make_fixtures.py cases      # only some parts

Parts, in order: cases (models, logits, loss, gradients), adapters, optimizers, schedules, processors, generations, training, precisions, chats.
Everything but precisions is float32 on one CPU thread with fixed seeds; README.md beside this file says what each file holds.
The product and its tests never run Python: they read the committed files under fixtures/.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from maker.common import FIXTURES, prepare, write_versions  # noqa: E402


def main(names: list[str]) -> None:
    prepare()
    # Imported late: transformers reads the environment that prepare() sets.
    from maker import adapters, cases, chats, generations, optimizers, processors, schedules, training

    parts = {
        "cases": cases.make,
        "adapters": adapters.make,
        "optimizers": optimizers.make,
        "schedules": schedules.make,
        "processors": processors.make,
        "generations": generations.make,
        "training": training.make,
        "precisions": training.make_precisions,
        "chats": chats.make,
    }
    unknown = [name for name in names if name not in parts]
    if unknown:
        sys.exit(f"unknown part {', '.join(unknown)}; there are {', '.join(parts)}")
    for name in names or parts:
        print(f"== {name}", flush=True)
        parts[name]()
    write_versions()
    total = sum(file.stat().st_size for file in FIXTURES.rglob("*") if file.is_file())
    print(f"all fixtures: {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main(sys.argv[1:])
