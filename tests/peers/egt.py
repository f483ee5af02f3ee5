"""The family egt in PyTorch, as fast as its eager mode goes: graphs padded to the longest of a batch, one product for
queries, keys and values, one for biases and gates, scores kept in memory, for PyTorch has no fused attention with
gates. Sampled keys are a mask (`edges` all: the edges are updated everywhere) or gathered columns (`edges` fixed)."""
import torch
import torch.nn.functional as F
from torch import nn

HIDDEN = -1e9


def joined(x):
    """[B, heads, n, d] as rows."""
    return x.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    def __init__(self, width, edge_width, heads, virtual, clip, update):
        super().__init__()
        self.heads, self.virtual, self.clip = heads, virtual, clip
        self.norm, self.edge_norm = nn.LayerNorm(width), nn.LayerNorm(edge_width)
        self.qkv, self.pairs = nn.Linear(width, 3 * width), nn.Linear(edge_width, 2 * heads)
        self.proj = nn.Linear(width, width)
        self.edge_proj = nn.Linear(heads, edge_width) if update else None

    def heads_of(self, x):
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(self, h, e, hidden, rows=None):
        """`hidden`: what is added to the logits, [B, 1, 1, keys]. rows [B, keys]: of which there are keys; None: all."""
        normed = self.norm(h)
        q, k, v = (self.heads_of(x) for x in self.qkv(normed).chunk(3, 2))
        if rows is not None:
            at = rows[:, None, :, None].expand(-1, self.heads, -1, k.shape[3])
            k, v = k.gather(2, at), v.gather(2, at)
            e = e.gather(2, rows[:, None, :, None].expand(-1, e.shape[1], -1, e.shape[3]))
        bias, gate = self.pairs(self.edge_norm(e)).permute(0, 3, 1, 2).chunk(2, 1)
        scores = (q * q.shape[3] ** -0.5) @ k.transpose(2, 3)
        scores = scores.clamp(-self.clip, self.clip) + bias
        gates = (gate + hidden).sigmoid()
        out = ((scores + hidden).softmax(3) * gates) @ v
        degree = gates.sum(3, keepdim=True).log1p()
        if self.virtual:
            degree = torch.cat([torch.ones_like(degree[:, :, :self.virtual]), degree[:, :, self.virtual:]], 2)
        h = h + self.proj(joined(out * degree))
        return h, e + self.edge_proj(scores.permute(0, 2, 3, 1)) if self.edge_proj else e


class Mlp(nn.Module):
    def __init__(self, width, ratio):
        super().__init__()
        hidden = round(width * ratio)
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return x + self.down(F.elu(self.up(self.norm(x))))


class Egt(nn.Module):
    """keys: a query sees the virtual nodes and this share of a graph's nodes; 0: all."""

    def __init__(self, layers, heads, width, edge_width, virtual_nodes=4, node_ids=9, node_values=128, edge_ids=3,
                 edge_values=8, hops=17, encodings=16, clip=5.0, keys=0.0, fixed=False):
        super().__init__()
        self.virtual, self.keys, self.fixed = virtual_nodes, keys, fixed
        self.node = nn.Embedding(1 + node_ids * node_values, width, padding_idx=0)
        self.encoding, self.hop = nn.Linear(encodings, width), nn.Embedding(hops + 1, edge_width)
        self.edge = nn.Embedding(1 + edge_ids * edge_values, edge_width, padding_idx=0)
        self.virtual_node = nn.Parameter(torch.randn(virtual_nodes, width))
        self.virtual_edge = nn.Parameter(torch.randn(virtual_nodes, edge_width))
        updated = [not fixed and i < layers - 1 for i in range(layers)]
        self.attention = nn.ModuleList(Attention(width, edge_width, heads, virtual_nodes, clip, u) for u in updated)
        self.mlp = nn.ModuleList(Mlp(width, 1) for _ in range(layers))
        self.edge_mlp = nn.ModuleList(Mlp(edge_width, 1) for u in updated if u)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(max(1, virtual_nodes) * width, width), nn.ELU(), nn.Linear(width, width),
                                  nn.ELU(), nn.Linear(width, 1))

    def framed(self, e):
        """Behind the virtual nodes' rows and columns."""
        v, n, batch = self.virtual, e.shape[1], len(e)
        rows = self.virtual_edge[:, None, :].expand(v, n, -1)
        corner = (self.virtual_edge[:, None, :] + self.virtual_edge[None]) / 2
        top = torch.cat([corner, rows], 1).expand(batch, -1, -1, -1)
        left = rows.transpose(0, 1).expand(batch, -1, -1, -1)
        return torch.cat([top, torch.cat([left, e], 2)], 1)

    def draw(self, lengths, positions):
        """Rows of sampled keys [B, most keys], and what hides those that an example has not."""
        v = self.virtual
        real = lengths - v
        order = torch.rand(len(lengths), positions - v)
        order[torch.arange(positions - v)[None] >= real[:, None]] = 2
        count = (self.keys * real).ceil().long()
        drawn = order.argsort(1)[:, :count.max()] + v
        hidden = (torch.arange(drawn.shape[1])[None] >= count[:, None]) * HIDDEN
        kept = torch.arange(v).expand(len(lengths), -1)
        return torch.cat([kept, drawn], 1), F.pad(hidden, (v, 0))

    def forward(self, nodes, encodings, edges, hops, lengths):
        h = self.node(nodes).sum(2) + self.encoding(encodings)
        h = torch.cat([self.virtual_node.expand(len(h), -1, -1), h], 1)
        e = self.framed(self.hop(hops) + self.edge(edges).sum(3))
        positions = h.shape[1]
        padding = (torch.arange(positions)[None] >= lengths[:, None]) * HIDDEN
        edge_mlps = iter(self.edge_mlp)
        for attention, mlp in zip(self.attention, self.mlp):
            rows, hidden = None, padding
            if self.keys:
                rows, hidden = self.draw(lengths, positions)
                if not self.fixed: # all scores are wanted
                    hidden, rows = torch.full_like(padding, HIDDEN).scatter(1, rows, hidden), None
            h, updated = attention(h, e, hidden[:, None, None, :], rows)
            h = mlp(h)
            e = e if attention.edge_proj is None else next(edge_mlps)(updated)
        return self.head(self.norm(h[:, :self.virtual]).flatten(1)).squeeze(1)

    def loss(self, graphs, values):
        return F.l1_loss(self(**graphs), values)


def molecules(batch, fewest, most, seed=0):
    """A batch of random graphs of like size, as arrays of the library's struct ssa_batch, virtual nodes counted."""
    g = torch.Generator().manual_seed(seed)
    draw = lambda low, high, *shape: torch.randint(low, high, shape, generator=g)
    n, lengths = most, draw(fewest, most + 1, batch) + 4
    nodes = 1 + torch.arange(9) * 128 + draw(0, 6, batch, n, 9)
    bonded = torch.rand(batch, n, n, 1, generator=g) < 2.2 / n
    edges = (1 + torch.arange(3) * 8 + draw(0, 3, batch, n, n, 3)) * bonded
    there = torch.arange(n)[None] < lengths[:, None] - 4
    nodes, edges = nodes * there[..., None], edges * (there[:, :, None] & there[:, None, :])[..., None]
    return dict(nodes=nodes, encodings=torch.randn(batch, n, 16, generator=g), edges=edges,
                hops=draw(0, 9, batch, n, n), lengths=lengths)
