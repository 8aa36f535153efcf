#!/usr/bin/env python3
"""Writes tests/parity/references/: logits, losses and gradients of small DeepSeek-V3 models as
computed by Hugging Face transformers (float32, eager attention), for the parity test.

    make_references.py OUT           writes one file per shape into the folder OUT
    make_references.py OUT --check   computes them again and demands those in OUT within 1e-6

README.md beside this file documents the weights, the file format and the loss.
"""

import argparse
import math
import pathlib
import sys

import numpy
import torch
import transformers
from transformers.models.deepseek_v3 import modeling_deepseek_v3 as hf
from transformers.models.deepseek_v3.configuration_deepseek_v3 import DeepseekV3Config

MASK64 = (1 << 64) - 1
TOP_K_MARGIN = 1e-4  # no choice of an expert or a group may be closer than this
TOLERANCE = 1e-6  # of --check, relative to the largest element of the tensor

# One line each: what it is there for. Keys are those of Moray's decks.
COMMON = {
    "model.vocabulary": 52, "model.width": 24, "model.layers": 3, "model.dense_layers": 1,
    "model.dense_width": 40, "model.norm_eps": 1e-6,
    "attention.heads": 2, "attention.nope_width": 12, "attention.rope_width": 8,
    "attention.value_width": 10, "attention.latent": 16, "attention.query_latent": 0,
    "attention.rope_theta": 10000.0, "attention.max_length": 32,
    "moe.experts": 6, "moe.top_k": 2, "moe.shared_experts": 1, "moe.width": 10, "moe.groups": 1,
    "moe.top_groups": 1, "moe.scale": 2.5, "mtp.depth": 0, "mtp.weight": 0.3,
    "sequences": 2, "length": 24,
}
YARN = {
    "attention.max_length": 128, "attention.yarn.factor": 4.0,
    "attention.yarn.original_length": 32, "attention.yarn.beta_fast": 32.0,
    "attention.yarn.beta_slow": 1.0, "attention.yarn.mscale": 1.0, "length": 72,
}
SHAPES = {
    # a plain query projection, no YaRN, one group
    "plain": COMMON,
    # query compression; two of four groups; 4 layers, two of them dense; two shared experts
    "groups": {**COMMON, "model.layers": 4, "model.dense_layers": 2, "attention.query_latent": 14,
               "moe.experts": 8, "moe.top_k": 3, "moe.groups": 4, "moe.top_groups": 2,
               "moe.shared_experts": 2, "attention.heads": 3, "attention.rope_theta": 500.0},
    # YaRN 32 -> 128 on sequences of 72, with query compression
    "yarn": {**COMMON, **YARN, "attention.query_latent": 14},
    # YaRN with a wide ramp and a softmax factor of its own, without compression, two groups
    "yarn_groups": {**COMMON, **YARN, "attention.rope_theta": 100.0, "attention.rope_width": 16,
                    "attention.yarn.beta_fast": 4.0, "attention.yarn.mscale": 0.707,
                    "moe.groups": 2, "moe.top_groups": 1},
    # two MTP modules behind a model with query compression
    "mtp": {**COMMON, "attention.query_latent": 14, "mtp.depth": 2},
}


def fnv1a(text):
    """64-bit FNV-1a of the bytes of `text`."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK64
    return value


def centred(name, count):
    """Integers in [-32768, 32767]: the top 16 bits of splitmix64 at (FNV-1a of name, index)."""
    with numpy.errstate(over="ignore"):
        index = numpy.arange(1, count + 1, dtype=numpy.uint64)
        z = numpy.uint64(fnv1a(name)) + index * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ (z >> numpy.uint64(31))
    return (z >> numpy.uint64(48)).astype(numpy.int64) - 32768


def parity_weight(name, count):
    """The first `count` elements of the parameter `name`, exact in float32."""
    c = centred(name, count).astype(numpy.float64)
    if name.endswith("norm.weight"):
        value = 1 + c * 2.0**-17
    elif name.endswith("e_score_correction_bias"):
        value = (c + 32768) * 2.0**-19
    else:
        value = c * 2.0**-16
    exact = value.astype(numpy.float32)
    assert (exact.astype(numpy.float64) == value).all()
    return torch.from_numpy(exact)


def make_config(shape):
    """transformers' configuration of a shape."""
    rope = {"rope_type": "default", "rope_theta": shape["attention.rope_theta"]}
    if "attention.yarn.factor" in shape:
        rope = {
            "rope_type": "yarn", "rope_theta": shape["attention.rope_theta"],
            "factor": shape["attention.yarn.factor"],
            "original_max_position_embeddings": shape["attention.yarn.original_length"],
            "beta_fast": shape["attention.yarn.beta_fast"],
            "beta_slow": shape["attention.yarn.beta_slow"],
            # Equal values: the factor goes on the softmax scale alone, none on cos and sin.
            "mscale": shape["attention.yarn.mscale"],
            "mscale_all_dim": shape["attention.yarn.mscale"],
        }
    config = DeepseekV3Config(
        vocab_size=shape["model.vocabulary"], hidden_size=shape["model.width"],
        intermediate_size=shape["model.dense_width"], moe_intermediate_size=shape["moe.width"],
        num_hidden_layers=shape["model.layers"], first_k_dense_replace=shape["model.dense_layers"],
        num_attention_heads=shape["attention.heads"],
        num_key_value_heads=shape["attention.heads"],
        qk_nope_head_dim=shape["attention.nope_width"],
        qk_rope_head_dim=shape["attention.rope_width"], v_head_dim=shape["attention.value_width"],
        kv_lora_rank=shape["attention.latent"],
        q_lora_rank=shape["attention.query_latent"] or None,
        n_routed_experts=shape["moe.experts"], num_experts_per_tok=shape["moe.top_k"],
        n_shared_experts=shape["moe.shared_experts"], n_group=shape["moe.groups"],
        topk_group=shape["moe.top_groups"], norm_topk_prob=True,
        routed_scaling_factor=shape["moe.scale"], rms_norm_eps=shape["model.norm_eps"],
        max_position_embeddings=shape["attention.max_length"], rope_parameters=rope,
        rope_interleave=True, attention_bias=False, attention_dropout=0.0, hidden_act="silu",
        tie_word_embeddings=False, use_cache=False, num_mtp_layers=0, pad_token_id=None)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    # transformers gives the two inner norms of MLA its default epsilon, whatever the model's.
    assert shape["model.norm_eps"] == 1e-6
    return config


class MtpModule(torch.nn.Module):
    """Module k of DeepSeek-V3 report section 2.2, from transformers' own layers; transformers
    itself ignores these weights."""

    def __init__(self, config, layer):
        super().__init__()
        width, eps = config.hidden_size, config.rms_norm_eps
        self.enorm = hf.DeepseekV3RMSNorm(width, eps)
        self.hnorm = hf.DeepseekV3RMSNorm(width, eps)
        self.eh_proj = torch.nn.Linear(2 * width, width, bias=False)
        self.block = hf.DeepseekV3DecoderLayer(config, layer)
        self.norm = hf.DeepseekV3RMSNorm(width, eps)

    def forward(self, embedding, hidden, rotary):
        """h^k (B, T - k, D) after the module's own norm, from Emb(t_{i+k}) and h^{k-1}_i."""
        x = self.eh_proj(torch.cat([self.enorm(embedding), self.hnorm(hidden)], dim=-1))
        rows = x.shape[1]
        mask = torch.full((rows, rows), -math.inf).triu(1)[None, None]
        positions = torch.arange(rows)[None]
        x = self.block(x, attention_mask=mask, position_ids=positions,
                       position_embeddings=rotary(x, positions))
        return self.norm(x)


def checkpoint_name(name, layers):
    """The name of a parameter in DeepSeek's checkpoints: modules follow the layers."""
    if not name.startswith("mtp."):
        return name
    _, k, rest = name.split(".", 2)
    rest = rest.removeprefix("block.")
    if rest == "norm.weight":
        rest = "shared_head.norm.weight"
    return f"model.layers.{layers + int(k)}.{rest}"


def parts_of(name, tensor):
    """(name, view) of each parameter that Moray has: stacked experts are one tensor each."""
    if name.endswith("experts.gate_up_proj"):
        prefix, width = name.removesuffix("gate_up_proj"), tensor.shape[1] // 2
        for expert in range(tensor.shape[0]):
            yield f"{prefix}{expert}.gate_proj.weight", tensor[expert, :width]
            yield f"{prefix}{expert}.up_proj.weight", tensor[expert, width:]
    elif name.endswith("experts.down_proj"):
        prefix = name.removesuffix("down_proj")
        for expert in range(tensor.shape[0]):
            yield f"{prefix}{expert}.down_proj.weight", tensor[expert]
    else:
        yield name, tensor


class Model(torch.nn.Module):
    def __init__(self, shape):
        super().__init__()
        torch.manual_seed(0)
        self.shape, config = shape, make_config(shape)
        self.trunk = hf.DeepseekV3ForCausalLM(config)
        layers = shape["model.layers"]
        self.mtp = torch.nn.ModuleList(MtpModule(config, layers + k)
                                       for k in range(shape["mtp.depth"]))
        self.margin = math.inf
        with torch.no_grad():
            for name, tensor in self.tensors():
                for part, view in parts_of(name, tensor):
                    view.copy_(parity_weight(part, view.numel()).view(view.shape))
        for module in self.modules():
            if isinstance(module, hf.DeepseekV3TopkRouter):
                module.register_forward_hook(self.note_margin)

    def tensors(self):
        """(checkpoint name, tensor) of parameters and selection biases."""
        trunk = list(self.trunk.named_parameters())
        trunk += [(n, b) for n, b in self.trunk.named_buffers() if n.endswith("correction_bias")]
        mtp = [(f"mtp.{n}", p) for n, p in self.mtp.named_parameters()]
        mtp += [(f"mtp.{n}", b) for n, b in self.mtp.named_buffers()
                if n.endswith("correction_bias")]
        return [(checkpoint_name(n, self.shape["model.layers"]), t) for n, t in trunk + mtp]

    def note_margin(self, router, inputs, _):
        """The smallest distance between what the gate took and what it left."""
        logits = torch.nn.functional.linear(inputs[0].reshape(-1, router.hidden_dim), router.weight)
        choice = (logits.sigmoid() + router.e_score_correction_bias).detach()
        groups = choice.view(choice.shape[0], router.num_group, -1)
        score = groups.topk(2, dim=-1)[0].sum(-1).sort(-1, descending=True)
        if router.topk_group < router.num_group:
            gap = score[0][:, router.topk_group - 1] - score[0][:, router.topk_group]
            self.margin = min(self.margin, gap.min().item())
        kept = groups.gather(1, score[1][:, :router.topk_group, None].expand(
            -1, -1, groups.shape[-1])).flatten(1).sort(-1, descending=True)[0]
        if router.top_k < kept.shape[1]:
            gap = kept[:, router.top_k - 1] - kept[:, router.top_k]
            self.margin = min(self.margin, gap.min().item())

    def forward(self, tokens):
        """[logits of the trunk, of module 1, ...] for samples of T + 1 tokens, and the losses."""
        length = tokens.shape[1] - 1
        rotary, head = self.trunk.model.rotary_emb, self.trunk.lm_head
        hidden = self.trunk.model(input_ids=tokens[:, :length]).last_hidden_state
        outputs = [head(hidden)]
        for k, module in enumerate(self.mtp, start=1):
            embedding = self.trunk.model.embed_tokens(tokens[:, k:length])
            hidden = module(embedding, hidden[:, :length - k], rotary)
            outputs.append(head(hidden))
        # The sum over the terms of each use.
        losses = [torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), tokens[:, k + 1:].flatten(), reduction="sum")
                  for k, logits in enumerate(outputs)]
        return outputs, losses


def compute(name, shape):
    """{tensor name: array} of a shape. Tokens are drawn until every choice has its margin."""
    sequences, length = shape["sequences"], shape["length"]
    for draw in range(1000):
        model = Model(shape)
        drawn = (centred(f"tokens.{name}.{draw}", sequences * (length + 1)) + 32768)
        tokens = torch.from_numpy(drawn % shape["model.vocabulary"]).view(sequences, length + 1)
        outputs, losses = model(tokens)
        if model.margin > TOP_K_MARGIN:
            break
    assert model.margin > TOP_K_MARGIN, f"{name}: no draw of tokens has the margin"
    # The gradient of the sum over tokens; the terms of MTP weigh lambda / depth.
    total = losses[0]
    for loss in losses[1:]:
        total = total + loss * (shape["mtp.weight"] / shape["mtp.depth"])
    total.backward()
    count = sequences * length
    result = {"tokens": tokens.to(torch.int32)}
    for k, (logits, loss) in enumerate(zip(outputs, losses)):
        prefix = f"mtp.{k}." if k else ""
        result[f"{prefix}logits"] = logits.detach().flatten(0, 1)
        result[f"{prefix}loss"] = (loss.detach() / count)[None]
    for tensor_name, tensor in model.tensors():
        if tensor_name.endswith("correction_bias"):
            continue
        assert tensor.grad is not None, tensor_name
        for part, gradient in parts_of(tensor_name, tensor.grad):
            result[f"gradient.{part}"] = gradient
    print(f"{name}: draw {draw}, margin {model.margin:.2e}, loss {result['loss'].item():.6f}, "
          f"{len(result)} tensors, most peaked attention {peak(model, tokens):.2f}")
    return {key: value.contiguous().numpy() for key, value in result.items()}


def peak(model, tokens):
    """The mean over queries of the largest attention probability of layer 0."""
    probabilities = model.trunk.model(input_ids=tokens[:, :-1], output_attentions=True).attentions
    return probabilities[0].max(-1)[0].mean().item()


def write(path, shape, tensors):
    """A text header (key=value, then `tensor name type dims`), an empty line, the raw data."""
    lines = ["moray-parity 1"]
    lines += [f"{key}={value}" for key, value in sorted(shape.items())]
    for name, array in tensors.items():
        lines.append(" ".join(["tensor", name, str(array.dtype), *map(str, array.shape)]))
    with open(path, "wb") as file:
        file.write(("\n".join(lines) + "\n\n").encode())
        for array in tensors.values():
            file.write(array.astype(array.dtype.newbyteorder("<")).tobytes())


def read(path):
    header, data = path.read_bytes().split(b"\n\n", 1)
    tensors, offset = {}, 0
    for line in header.decode().splitlines():
        if line.startswith("tensor "):
            _, name, dtype, *dims = line.split()
            dims = [int(d) for d in dims]
            count = math.prod(dims)
            tensors[name] = numpy.frombuffer(data, dtype, count, offset).reshape(dims)
            offset += 4 * count
    assert offset == len(data), path
    return tensors


def check(path, tensors):
    """The largest difference to the committed file, relative to each tensor's largest element."""
    committed = read(path)
    if list(committed) != list(tensors):
        sys.exit(f"{path}: other tensors than computed")
    worst = 0.0
    for name, array in tensors.items():
        if name == "tokens":
            if not (committed[name] == array).all():
                sys.exit(f"{path}: other tokens than drawn")
            continue
        scale = numpy.abs(committed[name]).max()
        difference = numpy.abs(committed[name].astype(numpy.float64) - array).max()
        worst = max(worst, difference / scale if scale > 0 else difference)
    print(f"{path.name}: {worst:.1e} from the committed reference")
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    worst = 0.0
    for name, shape in SHAPES.items():
        tensors = compute(name, shape)
        path = arguments.folder / f"{name}.ref"
        if arguments.check:
            worst = max(worst, check(path, tensors))
        else:
            write(path, shape, tensors)
    if worst > TOLERANCE:
        sys.exit(f"the references differ by {worst:.1e}, more than {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
