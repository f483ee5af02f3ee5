"""The GPT that both sides train, in PyTorch: pre-norm, learned positions, tanh GELU, its own output matrix."""
import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY = 256


class Attention(nn.Module):
    """Causal attention over all keys (ratio 1), or over one sorted random subset of length/ratio keys a step that
    holds position 0."""

    def __init__(self, width, heads, ratio):
        super().__init__()
        self.heads, self.ratio = heads, ratio
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if self.ratio == 1:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            subset = torch.randperm(length)[:length // self.ratio].sort().values
            subset[0] = 0
            mask = subset[None, :] <= torch.arange(length)[:, None]
            out = F.scaled_dot_product_attention(q, k.index_select(2, subset), v.index_select(2, subset),
                                                 attn_mask=mask)
        return self.proj(out.transpose(1, 2).reshape(batch, length, width))


class Layer(nn.Module):
    def __init__(self, width, heads, ratio):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), Attention(width, heads, ratio)
        self.norm2, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, layers, width, heads, length, ratio):
        super().__init__()
        self.embed, self.position = nn.Embedding(VOCABULARY, width), nn.Parameter(torch.zeros(1, length, width))
        self.layers = nn.Sequential(*(Layer(width, heads, ratio) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)

    def forward(self, tokens, targets):
        logits = self.head(self.norm(self.layers(self.embed(tokens) + self.position)))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


class Training:
    """step() does one step of AdamW on random tokens; `bf16`: forward under autocast."""

    def __init__(self, layers, width, heads, length, batch, ratio, bf16=False):
        self.bf16 = bf16
        self.model = GPT(layers, width, heads, length, ratio)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=3e-4)
        tokens = torch.randint(0, VOCABULARY, (batch, length + 1))
        self.tokens, self.targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step(self):
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.model(self.tokens, self.targets)
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
