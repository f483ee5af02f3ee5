"""The families of models that both sides train, in PyTorch, as fast as its eager mode goes: patches are cut as rows and
embedded by a linear layer, attention is scaled_dot_product_attention where that is fused, the optimiser is one fused
kernel where there is one.

Attention sees all keys, or `keys` sorted positions: of a ViT each image's own, position 0 among them; of the others the
same for all sequences of a layer and step."""
import math

import torch
import torch.nn.functional as F
from torch import nn

fused = getattr(F, "scaled_dot_product_attention", None)  # PyTorch 1.13 has it not


def attend(q, k, v, attn_mask=None, is_causal=False, dropout=0):
    """In the fastest way: what is fused has no gradient of a mask, and wants values as wide as keys."""
    narrower = v.shape[-1] - q.shape[-1]
    if fused and attn_mask is None:
        return fused(F.pad(q, (0, narrower)), F.pad(k, (0, narrower)), v, is_causal=is_causal,
                     scale=q.shape[-1] ** -0.5, dropout_p=dropout)
    if fused and not attn_mask.requires_grad:
        return fused(q, k, v, attn_mask=attn_mask, dropout_p=dropout)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float("-inf"))
    elif attn_mask is not None:
        scores = scores + attn_mask
    p = scores.softmax(-1)
    return (F.dropout(p, dropout) if dropout else p) @ v


def draw(length, keys, first=True):
    """Sorted positions, 0 among them."""
    subset = torch.randperm(length)[:keys].sort().values
    if first:
        subset[0] = 0
    return subset


class Attention(nn.Module):
    """Queries and keys of a head may be narrower than its values; keys and values are of sampled rows only."""

    def __init__(self, width, heads, keys=0, key_width=0, causal=False, each=False, dropout=0):
        super().__init__()
        self.heads, self.keys, self.causal, self.each, self.dropout = heads, keys, causal, each, dropout
        self.split = [heads * (key_width or width // heads)] * 2 + [width]
        self.qkv, self.proj = nn.Linear(width, sum(self.split)), nn.Linear(width, width)

    def part(self, x, first, end):
        """Of q, k and v those from `first` on."""
        rows = slice(sum(self.split[:first]), sum(self.split[:end]))
        y = F.linear(x, self.qkv.weight[rows], self.qkv.bias[rows]).split(self.split[first:end], -1)
        return [t.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for t in y]

    def sample(self, x):
        """The rows of the keys, and the mask."""
        batch, length, width = x.shape
        if self.each:
            subset = torch.rand(batch, length - 1).topk(self.keys).indices + 1
            subset = torch.cat([torch.zeros(batch, 1, dtype=torch.long), subset], 1)
            return x.gather(1, subset[:, :, None].expand(-1, -1, width)), None
        subset = draw(length, self.keys)
        mask = subset[None, :] <= torch.arange(length)[:, None] if self.causal else None
        return x.index_select(1, subset), mask

    def forward(self, x):
        if self.keys:
            rows, mask = self.sample(x)
            (q,), (k, v) = self.part(x, 0, 1), self.part(rows, 1, 3)
            out = attend(q, k, v, attn_mask=mask, dropout=self.dropout * self.training)
        else:
            out = attend(*self.part(x, 0, 3), is_causal=self.causal, dropout=self.dropout * self.training)
        return self.proj(out.transpose(1, 2).reshape(x.shape))


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def dropping(p):
    return nn.Dropout(p) if p else nn.Identity()


class Layer(nn.Module):
    def __init__(self, attention, width, hidden, eps, activation=F.gelu, dropout=0, activation_dropout=0):
        super().__init__()
        self.norm1, self.attention, self.activation = nn.LayerNorm(width, eps), attention, activation
        self.norm2, self.up, self.down = nn.LayerNorm(width, eps), nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.drop, self.drop_hidden = dropping(dropout), dropping(activation_dropout)

    def forward(self, x):
        x = x + self.drop(self.attention(self.norm1(x)))
        return x + self.drop(self.down(self.drop_hidden(self.activation(self.up(self.norm2(x))))))


def patches(x, size):
    """Images [B, rows, columns, channels] as rows of patches, whose elements lie in the order of memory."""
    batch, rows, columns, channels = x.shape
    x = x.view(batch, rows // size, size, columns // size, size * channels).transpose(2, 3)
    return x.reshape(batch, rows // size, columns // size, size * size * channels)


class ViT(nn.Module):
    def __init__(self, rows, channels, patch, layers, heads, width, classes, keys=0):
        super().__init__()
        self.patch, self.embed = patch, nn.Linear(channels * patch * patch, width)
        self.first = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, (rows // patch) ** 2 + 1, width) * 0.02)
        self.layers = nn.Sequential(*(Layer(Attention(width, heads, keys, each=True), width, 4 * width, 1e-6)
                                      for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, classes)

    def forward(self, x):
        x = self.embed(patches(x, self.patch).flatten(1, 2))
        x = self.layers(torch.cat([self.first.expand(len(x), -1, -1), x], 1) + self.position)
        return self.head(self.norm(x[:, 0]))


class Pixels(nn.Module):
    def __init__(self, rows, channels, layers, heads, width, hidden=0, key_width=0, keys=0):
        super().__init__()
        self.embed = nn.Embedding(256, width)
        shapes = (rows, 1, 1, width), (1, rows, 1, width), (1, 1, channels, width)
        self.axes = nn.ParameterList(nn.Parameter(torch.randn(*s) * 0.006) for s in shapes[:2 + (channels > 1)])
        self.start = nn.Parameter(torch.randn(1, 1, width) * 0.01)
        attention = lambda: Attention(width, heads, keys, key_width, causal=True)
        self.layers = nn.Sequential(*(Layer(attention(), width, hidden or 4 * width, 1e-5, quick_gelu)
                                      for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, 256, bias=False)

    def forward(self, x):
        e = self.embed(x) + sum(self.axes[1:], self.axes[0]).flatten(0, 2)
        x = torch.cat([self.start.expand(len(x), -1, -1), e[:, :-1]], 1)
        return self.head(self.norm(self.layers(x))).flatten(0, 1)


def sinusoids(length, width):
    """As fairseq's: the first position is 2."""
    i = torch.arange(width // 2, dtype=torch.float64)
    angles = torch.arange(2, length + 2)[:, None] * torch.exp(-math.log(10000) * i / (width // 2 - 1))
    return torch.cat([angles.sin(), angles.cos()], -1).float()


class Words(nn.Module):
    """fairseq's transformer_lm with adaptive input and softmax, tied, whose tails see the rows of their band alone."""

    def __init__(self, vocabulary, length, layers, heads, width, cutoffs, hidden=0, factor=4, dropout=0,
                 attention_dropout=0, activation_dropout=0, head_dropout=0, keys=0):
        super().__init__()
        self.ends = [c for c in cutoffs if c] + [vocabulary]
        self.begins, widths = [0] + self.ends[:-1], [width // factor ** b for b in range(len(self.ends))]
        self.tables = nn.ParameterList(nn.Parameter(torch.randn(e - b, w) * w ** -0.5)
                                       for b, e, w in zip(self.begins, self.ends, widths))
        self.projections = nn.ParameterList(nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, w)))
                                            for w in widths)
        self.tails = nn.Parameter(nn.init.xavier_uniform_(torch.empty(len(widths) - 1, width)))
        self.register_buffer("positions", sinusoids(length, width))
        self.layers = nn.Sequential(*(
            Layer(Attention(width, heads, keys, causal=True, dropout=attention_dropout), width, hidden or 4 * width,
                  1e-5, F.relu, dropout, activation_dropout) for _ in range(layers)))
        self.drop, self.drop_head, self.width = dropping(dropout), dropping(head_dropout), width
        for layer in self.layers:
            for part in layer.attention.qkv.weight.detach().split(width):
                nn.init.xavier_uniform_(part, 0.5 ** 0.5)
            nn.init.xavier_uniform_(layer.attention.proj.weight)
            nn.init.zeros_(layer.attention.qkv.bias)
            nn.init.zeros_(layer.attention.proj.bias)

    def embed(self, tokens):
        tokens = tokens.contiguous()
        x = self.positions.new_empty(tokens.numel(), self.width)
        for begin, end, table, projection in zip(self.begins, self.ends, self.tables, self.projections):
            rows = ((tokens >= begin) & (tokens < end)).view(-1).nonzero().squeeze(1)
            ids = tokens.view(-1).index_select(0, rows) - begin
            x = x.index_copy(0, rows, F.linear(F.embedding(ids, table), projection))
        x = x.view(*tokens.shape, self.width) * self.width ** 0.5 + self.positions[:tokens.shape[1]]
        return self.drop(x)

    def losses(self, tokens, targets):
        """The sum over all targets."""
        h = self.drop_head(self.layers(self.embed(tokens)).flatten(0, 1))
        targets, first, loss = targets.flatten(), self.ends[0], 0
        classes = targets
        for band in range(1, len(self.ends)):
            inside = (targets >= self.begins[band]) & (targets < self.ends[band])
            classes = classes.masked_fill(inside, first + band - 1)
            rows = inside.nonzero().squeeze(1)
            if len(rows):
                z = self.drop_head(h.index_select(0, rows) @ self.projections[band])
                loss = loss + F.cross_entropy(F.linear(z, self.tables[band]),
                                              targets.index_select(0, rows) - self.begins[band], reduction="sum")
        return loss + F.cross_entropy(F.linear(h, torch.cat([self.tables[0], self.tails])), classes, reduction="sum")

    def loss(self, tokens, targets):
        return self.losses(tokens, targets) / targets.numel()


class Windows(nn.Module):
    """Attention in windows of a grid, shifted or not, of which every query sees all keys or `keys` of them."""

    def __init__(self, width, heads, side, window, shift, keys):
        super().__init__()
        self.window, self.shift, self.keys = window, shift, keys
        self.inner = Attention(width, heads)
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads) * 0.02)
        at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        away = at[:, :, None] - at[:, None, :] + window - 1
        self.register_buffer("entry", away[0] * (2 * window - 1) + away[1])
        self.register_buffer("mask", self.regions(side) if shift else None)

    def regions(self, side):
        """[windows, 1, query, key]: -100 where they are not of the same region."""
        region = torch.zeros(side)
        region[side - self.window:side - self.shift], region[side - self.shift:] = 1, 2
        r = self.cut((3 * region[:, None] + region)[None, :, :, None]).squeeze(-1)
        return (r[:, None, :] != r[:, :, None]).float()[:, None] * -100

    def cut(self, x):
        batch, rows, columns, width = x.shape
        w = self.window
        return x.view(batch, rows // w, w, columns // w, w, width).transpose(2, 3).reshape(-1, w * w, width)

    def join(self, x, shape):
        batch, rows, columns, width = shape
        w = self.window
        return x.view(batch, rows // w, columns // w, w, w, width).transpose(2, 3).reshape(shape)

    def bias(self, subset, count):
        """[count or 1, heads, query, key]."""
        entry, mask = self.entry, self.mask
        if subset is not None:
            entry, mask = entry[:, subset], mask[..., subset] if self.shift else None
        bias = self.table[entry].permute(2, 0, 1)[None]
        return (mask + bias).repeat(count // len(mask), 1, 1, 1) if self.shift else bias

    def forward(self, x):
        shape, inner = x.shape, self.inner
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        x = self.cut(x)
        if self.keys:
            subset = draw(x.shape[1], self.keys, first=False)
            (q,), (k, v) = inner.part(x, 0, 1), inner.part(x.index_select(1, subset), 1, 3)
        else:
            subset, (q, k, v) = None, inner.part(x, 0, 3)
        out = attend(q, k, v, attn_mask=self.bias(subset, len(x)).expand(len(x), -1, -1, -1))
        x = self.join(inner.proj(out.transpose(1, 2).reshape(x.shape)), shape)
        return x.roll((self.shift, self.shift), (1, 2)) if self.shift else x


class Merge(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x):
        batch, rows, columns, width = x.shape
        x = x.view(batch, rows // 2, 2, columns // 2, 2, width).transpose(2, 3)
        return self.linear(self.norm(x.reshape(batch, rows // 2, columns // 2, 4 * width)))


class Swin(nn.Module):
    """`keys` of a window's positions; of windows that have fewer, a quarter."""

    def __init__(self, rows, channels, patch, width, layers, heads, window, classes, keys=0):
        super().__init__()
        self.patch, self.embed, self.norm0 = patch, nn.Linear(channels * patch * patch, width), nn.LayerNorm(width)
        body = []
        for stage, count in enumerate(n for n in layers if n):
            side, c = rows // patch >> stage, width << stage
            w = min(side, window)
            k = keys and (keys if w == window else w * w * keys // (window * window))
            for i in range(count):
                shift = window // 2 if i % 2 and side > window else 0
                body.append(Layer(Windows(c, heads << stage, side, w, shift, k), c, 4 * c, 1e-5))
            body.append(Merge(c))
        body.pop()
        self.body, self.norm, self.head = nn.Sequential(*body), nn.LayerNorm(c), nn.Linear(c, classes)

    def forward(self, x):
        x = self.body(self.norm0(self.embed(patches(x, self.patch))))
        return self.head(self.norm(x).mean((1, 2)))


class Training:
    """step() does one step of AdamW on the batch, of the model's own loss where it has one."""

    def __init__(self, model, inputs, targets):
        self.model, self.inputs, self.targets = model, inputs, targets.flatten()
        self.loss = getattr(model, "loss", lambda x, y: F.cross_entropy(model(x), y))
        try:
            self.optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
        except (RuntimeError, TypeError):
            self.optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4, foreach=True)

    def step(self):
        self.loss(self.inputs, self.targets).backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
