"""Load a model directory in transformers and print what it makes of given ids: does what we saved load elsewhere?

    PYTHON check_saved.py MODEL_DIR < IDS.json          # IDS.json: [[1, 2, 3], [4, 5]]

Prints one line of JSON: missing_keys, unexpected_keys, mismatched_keys (all empty when the weights fit), tied (do head and embedding share
one tensor), and logits: for each row of ids [T][V] in float32, each row alone, so without padding.
"""

import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", HF_HUB_DISABLE_PROGRESS_BARS="1")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    rows = json.load(sys.stdin)
    import torch
    from transformers import AutoModelForCausalLM

    model, info = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, output_loading_info=True)
    model.eval()
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([row])).logits[0].tolist() for row in rows]
    keys = {name: sorted(map(str, info[name])) for name in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    print(json.dumps({**keys, "tied": tied, "logits": logits}))


if __name__ == "__main__":
    main()
