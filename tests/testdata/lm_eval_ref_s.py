"""What lm-evaluation-harness says of our own items: writes lm_eval_ref_s.jsonl, which //tests:tasks_test holds us to.

pip install "lm_eval[hf]"; python3 tests/testdata/lm_eval_ref_s.py    (made with lm_eval 0.4.13, transformers 5.24.0)
"""
import json
import pathlib

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = str(ROOT / "models/ref-s")
ITEMS = ROOT / "eaq/text/testdata/items"


def lines(name):
    return [json.loads(line) for line in open(ITEMS / name, encoding="utf-8")]


model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32, attn_implementation="eager").eval()
tokenizer = PreTrainedTokenizerFast(tokenizer_file=FOLDER + "/tokenizer.json", eos_token="<|endoftext|>")
harness = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=8, device="cpu")

requests = []  # (task, [(context, continuation)])
for task, end in (("answer", "\nAnswer:"), ("plain", "")):
    for item in lines("choices.jsonl"):
        if "context_options" in item:
            pairs = [(context + end, " " + item["continuation"]) for context in item["context_options"]]
        else:
            pairs = [(item["query"] + end, " " + choice) for choice in item["choices"]]
        requests.append((task, pairs))
for item in lines("last_words.jsonl"):
    requests.append(("last_words", [(item["context"], " " + item["continuation"])]))

flat = [Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0) for _, pairs in requests for pair in pairs]
answers = iter(harness.loglikelihood(flat, disable_tqdm=True))
with open(ROOT / "tests/testdata/lm_eval_ref_s.jsonl", "w", encoding="utf-8") as out:
    for task, pairs in requests:
        of_item = [next(answers) for _ in pairs]
        record = {"task": task, "ll": [round(ll, 6) for ll, _ in of_item], "greedy": [bool(g) for _, g in of_item]}
        out.write(json.dumps(record) + "\n")
