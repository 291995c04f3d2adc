"""Learning rates of transformers' schedules: the one used by each optimizer step."""

import torch
from transformers import get_scheduler

from .common import write_json

BASE, STEPS = 3e-4, 50


def make() -> None:
    cases = []
    for name in ("linear", "cosine", "constant", "constant_with_warmup"):
        for warmup in (0, 7):
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=BASE)
            schedule = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=STEPS)
            rates = []
            for _ in range(STEPS + 1):  # one beyond the end: what a run that goes on would use
                rates.append(schedule.get_last_lr()[0])
                optimizer.step()
                schedule.step()
            cases.append({"name": name, "warmup_steps": warmup, "learning_rates": rates})
    write_json("schedules.json", {"learning_rate": BASE, "total_steps": STEPS, "cases": cases})
