/**
 * @file model.h
 * A transformer over token ids or words, over the patches of an image or its elements: its parameters, its memory, and
 * one forward and backward pass. Over token ids:
 *
 *   x = embed[id] (+ position[n]);  per layer: x += proj(attention(norm1(x))), x += down(gelu(up(norm2(x))));
 *   logits = head(norm(x))
 * Pre-norm, causal unless told, rotary or learned positions, head tied to the embedding unless told. Which keys a
 * layer's attention sees is given to every pass as plans (sample.h); no plan means dense.
 *
 * Everything here is made of the public operators (ops.h): a model is a list of blocks (lib/net), whose forward and
 * backward are written out by hand. Memory is planned before anything is allocated: ssa_model_memory() says what it
 * will take.
 */
#ifndef SSACL_MODEL_H
#define SSACL_MODEL_H

#include "ops.h"

#ifdef __cplusplus
extern "C" {
#endif

enum ssa_positions { SSA_POSITIONS_ROTARY, SSA_POSITIONS_LEARNED };

/** A decoder (or encoder) over token ids, as GPT-2; with SSA_NORM_RMS, `gated`, `no_bias` and `untied` as Llama. Zero
 *  means the default. */
struct ssa_gpt {
    int layers;        /**< L */
    int heads;         /**< H; the head width C/H is a multiple of 8, at most 256 */
    int kv_heads;      /**< heads of keys and values, dividing H; 0 means H */
    int width;         /**< C */
    int hidden;        /**< width of the MLP; 0 means 4*C */
    int vocabulary;    /**< V; 256 for bytes */
    int length;        /**< N, the longest sequence */
    int positions;     /**< enum ssa_positions */
    float rope_base;   /**< 0 means 10000 */
    int norm;          /**< enum ssa_norm_kind */
    float norm_eps;    /**< 0 means 1e-5 */
    int activation;    /**< SSA_ACT_GELU, SSA_ACT_GELU_TANH or SSA_ACT_SILU; 0 means GELU, of a gated MLP SILU */
    int gated;         /**< 1: a gated MLP (SwiGLU): down(act(g) u), [g, u] = up(x) with "up.weight" [2*hidden,C] */
    int untied;        /**< 1: the head has its own matrix */
    int no_bias;       /**< 1: linear layers and norms without biases */
    int bidirectional; /**< 1: an encoder: every query may see later keys */
    float dropout;     /**< after the embedding and after both branches of a layer, in [0, 1) */
    float drop_keys;   /**< of attention's logits (struct ssa_attention), in [0, 1) */
};

/** A classifier of images, as ViT and DeiT (Dosovitskiy et al., ICLR 2021; Touvron et al., ICML 2021):
 *    x = [class, patch(pixels)] + position;  layers as above, not causal;  logits = head(norm(x)[class])
 *  or with mean_pool, without a class token, head(mean over n of norm(x)[n]). Layer norm, exact GELU, biases
 *  everywhere. A sequence is N positions, all of them in every pass: that of the class token, then the (rows/patch)
 *  (columns/patch) patches, row by row. Its one answer is the image's class: `targets` [batch, 1], or `soft_targets`.
 *  Sampling: a pattern's `keep_first` 1 lets every query see the class token in addition to what is drawn of the
 *  others, as many as ratio * N: of 49 patches and a class token ratio 0.24 draws 12. With a pattern's `grid` the class
 *  token sees and is seen by all without it, and cells of ratio * N patches divide the grid.
 *  DeiT-tiny is {.rows = 224, .channels = 3, .patch = 16, .layers = 12, .heads = 3, .width = 192, .classes = 1000}.
 *  Zero means the default. */
struct ssa_vit {
    int rows, columns;       /**< of an image, multiples of patch; columns 0 means rows */
    int channels;            /**< of a pixel */
    int patch;               /**< rows and columns of a patch */
    int layers;              /**< L */
    int heads;               /**< H; the head width C/H is a multiple of 8, at most 256 */
    int width;               /**< C */
    int hidden;              /**< width of the MLP; 0 means 4*C */
    int classes;             /**< V */
    int mean_pool;           /**< 1: no class token, the mean over all positions is classified */
    float norm_eps;          /**< 0 means 1e-6 */
    float dropout;           /**< after the embedding and after both branches of a layer, in [0, 1) */
    float attention_dropout; /**< of attention's probabilities, in [0, 1) */
    float drop_path;         /**< of both branches of the last layer, of an image as a whole; less in those below, in
                                  proportion to their number, 0 in the first; in [0, 1) */
    float drop_keys;         /**< of attention's logits, in the place of attention_dropout: one of both is 0 */
};

/** Images, an element after the other: what Sparse Transformers are for CIFAR-10. An image [rows, columns, channels] is
 *  a sequence of N = rows columns channels tokens x_t below `values`, in this order, each predicted from all before it:
 *    e_t = embed[x_t] + row[r] + column[c] + channel[k], where (r columns + c) channels + k = t
 *    x = start (+ label[class]) at position 0, e_(t-1) at t;  layers as of a GPT, causal;  logits = head(norm(x))
 *  So the answer at position t is x_t, not the token after it: a pass's tokens and targets are the same numbers (and
 *  the last one of tokens is not read). A new model's logits are 0, its loss log(values): of bytes 8 bits. Zero means
 *  the default. The one of 59,196,928 parameters has 32 rows, 32 columns, 3 channels, 128 layers, 2 heads, key_width
 *  64, width 256, hidden 512 and dropout 0.25.
 *  Source: Child et al., Generating Long Sequences with Sparse Transformers, 2019, and the code that they published. */
struct ssa_pixels {
    int rows, columns, channels; /**< a table of positions each, of channels where there are several */
    int values;     /**< that an element may have; 0 means 256 */
    int classes;    /**< of images, one of which ssa_pass.labels names for each; 0: none */
    int layers;     /**< L */
    int heads;      /**< H; width/H, of a head's values, is a multiple of 4, at most 256 */
    int key_width;  /**< of one head's queries and keys, as much of a multiple; 0 means width/H */
    int width;      /**< C */
    int hidden;     /**< width of the MLP; 0 means 4*C */
    int activation; /**< enum ssa_activation; 0 means SSA_ACT_QUICK_GELU */
    float dropout;  /**< after both branches of a layer, in [0, 1) */
    float drop_keys; /**< of attention's logits, in [0, 1) */
};

/** A classifier of images whose attention stays in windows, as Swin (Liu et al., ICCV 2021):
 *    x = norm(patches w^T + bias), a grid of rows/patch x columns/patch positions
 *    in each stage `layers` times:  x += attention(norm(x)), x += mlp(norm(x))
 *    between stages, patch merging: x = norm([x(0,0), x(1,0), x(0,1), x(1,1)]) w^T, of cells of 2 x 2 positions
 *    logits = head(mean over n of norm(x)[n])
 *  Stage i has heads[i] heads, width 2^i C and a grid 2^i times smaller. Attention sees the window x window positions
 *  of a window; in every second layer of a stage the grid is shifted by window/2 first, and what is neighbours only
 *  because the grid is a ring then does not see each other. A grid that is no larger than the window is cut into
 *  windows of its shorter side, and is not shifted. To logits a bias is added, by distance and head. Layer norm, exact
 *  GELU, biases everywhere but in merging. `targets` [batch, 1], or `soft_targets`.
 *  Sampling: a layer's sequences are windows (ssa_model_layer()), each drawn by itself with `per_example`. A bias goes
 *  with its key. In shifted layers a query always sees its own key, for of its region no other may have been drawn.
 *  Swin-T is {.rows = 224, .channels = 3, .patch = 4, .width = 96, .layers = {2, 2, 6, 2}, .heads = {3}, .classes =
 *  1000, .drop_path = 0.2f}: 28,288,354 parameters; with .window = 14, of whose 196 keys 49 cost what all 49 of a
 *  window of 7 do, 28,338,754. Zero means the default. */
struct ssa_swin {
    int rows, columns;       /**< of an image, multiples of patch; columns 0 means rows */
    int channels;            /**< of a pixel */
    int patch;               /**< rows and columns of a patch */
    int width;               /**< C, of the first stage */
    int layers[4];  /**< of each stage; 0: there are no more stages */
    int heads[4];   /**< of each stage; 0 means twice as many as in the one before. The head width is a multiple
                                  of 4, at most 256 */
    int window;              /**< its rows and columns, dividing those of every larger grid; 0 means 7 */
    float hidden_ratio;      /**< width of the MLP, in widths of the stage; 0 means 4 */
    int classes;             /**< V */
    float norm_eps;          /**< 0 means 1e-5 */
    float dropout;           /**< after the embedding and after both branches of a layer, in [0, 1) */
    float attention_dropout; /**< of attention's probabilities, in [0, 1) */
    float drop_path;         /**< of both branches of the last layer, of an image as a whole; less in those below, in
                                  proportion to their number, 0 in the first; in [0, 1) */
    float drop_keys;         /**< of attention's logits, in the place of attention_dropout: one of both is 0 */
};

/** A causal model of words, of which there are so many that most are rare: adaptive input (Baevski and Auli, ICLR 2019)
 *  and adaptive softmax (Grave et al., ICML 2017), tied to each other, as fairseq's. Ids are by falling frequency, cut
 *  into bands; band b has a table E_b [words of it, width/factor^b] and a projection P_b [C, width/factor^b]:
 *    x = sqrt(C) P_b E_b[id - where b begins] + sinusoid(n);  layers as above;  no norm behind the last
 *    p(word) = softmax([E_0 h; T h])[word], of the first band;  else softmax([E_0 h; T h])[band's row of T]
 *              softmax(E_b P_b^T h)[word - where b begins]
 *  Layer norm, biases in layers. A sinusoid's first half is sin(p f_i), its second cos(p f_i), f_i = 10000^(-i / (C/2 -
 *  1)), p = n + 2. A position costs the first softmax, and of a rare word's its band's, of narrow rows: logits of a
 *  vocabulary are never one tensor. What is read as logits are log-probabilities; labels are not smoothed.
 *  That of WikiText-103, 246,933,504 parameters, is {.vocabulary = 267744, .length = 3072, .layers = 16, .heads = 8,
 *  .width = 1024, .cutoffs = {20000, 60000}, .dropout = 0.3f, .attention_dropout = 0.1f, .activation_dropout = 0.1f,
 *  .head_dropout = 0.2f}. Zero means the default. */
struct ssa_words {
    int vocabulary, length; /**< V, N */
    int layers, heads;      /**< L, H; the head width is a multiple of 4, at most 256 */
    int width;              /**< C; divides by factor^(bands - 1) */
    int hidden;             /**< width of the MLP; 0 means 4*C */
    int cutoffs[3];         /**< ids where bands end but the last, ascending; 0: there are no more; of one band a full
                                 softmax */
    int factor;             /**< 0 means 4 */
    int activation;         /**< enum ssa_activation; 0 means SSA_ACT_RELU */
    float dropout;          /**< after the embedding and both branches of a layer, in [0, 1), as the others */
    float attention_dropout, activation_dropout; /**< of probabilities; of what the MLP's activation gives */
    float head_dropout;     /**< of h, and of P_b^T h */
    float drop_keys;        /**< of attention's logits, in the place of attention_dropout: one of both is 0 */
};

/** Which edges a layer of an egt updates, all layers but the last. */
enum ssa_edge_mode {
    SSA_EDGES_ALL,     /**< all of them, whatever the layer samples */
    SSA_EDGES_SAMPLED, /**< those from sampled nodes, and what is computed of edges is of these alone; others pass the
                            layer unchanged. A dense layer samples all */
    SSA_EDGES_FIXED    /**< none, ever: EGT-simple */
};

/** A regressor of graphs with a channel of edges, as EGT (Hussain et al., KDD 2022). Of a graph of n nodes, with v
 *  virtual ones in front, h [v+n, C] and e [v+n, v+n, D]:
 *    h = [virtual; sum of node[id] + encoding(encodings)];  e_ij = hop[distance] + sum of edge[id], virtual_edge around
 *    per layer, with q, k, v of norm(h), E and G of norm(e):
 *      s_ij = clip(q_i . k_j / sqrt(C/H)) + E_ij;  a_i = sum_j softmax_j(s_ij) g_ij v_j,  g_ij = sigmoid(G_ij)
 *      h_i += proj(log(1 + sum_j g_ij) a_i);  h += mlp(norm(h));  e_ij += edge.proj(s_ij);  e += mlp(norm(e))
 *    values = head(norm(h) of the virtual nodes, side by side)
 *  Virtual nodes are not scaled by their sums of gates; the last layer leaves edges alone. Without virtual nodes the head
 *  takes the mean of norm(h) over the nodes. Layer norm, biases everywhere. Passes have `lengths`, `nodes`, `encodings`,
 *  `edges`, `hops` and `values`, where id 0 says that there is none; padding is seen by nothing. graph.h computes
 *  distances and encodings. What is dropped, and by whom, follows from a graph's number in its step, not from its
 *  companions.
 *  Sampling: unbiased, of a graph's nodes; its virtual nodes are always seen.
 *  EGT-90M is {.node_ids = 9, .node_values = 128, .edge_ids = 3, .edge_values = 8, .hops = 17, .encodings = 16, .layers =
 *  24, .heads = 32, .width = 768, .edge_width = 64, .virtual_nodes = 4, .attention_dropout = 0.3f}: 89,322,369
 *  parameters, whatever `nodes`. TGT's (Hussain et al., 2024) has no virtual nodes, activation SSA_ACT_GELU, clip
 *  SSA_NONE, head_layers 1, head_start, activation_dropout and drop_path, and is trained with source dropout (`independent`
 *  of struct ssa_pattern). Zero means the default. */
struct ssa_egt {
    int nodes;                /**< most of a graph; N = nodes + virtual_nodes */
    int node_ids;             /**< ids of a node: features, */
    int node_values;          /**< and values of each: a table [1 + node_ids node_values, C] */
    int edge_ids;             /**< the same of edges; 0: none */
    int edge_values;
    int hops;                 /**< distances are in [0, hops]: a table [hops + 1, D] */
    int encodings;            /**< numbers of each node; 0: none */
    int layers;               /**< L */
    int heads;                /**< H; the head width C/H is a multiple of 4, at most 256 */
    int width;                /**< C, of nodes */
    int edge_width;           /**< D */
    int virtual_nodes;        /**< v */
    float hidden_ratio;       /**< width of the MLP of nodes, in C, rounded; 0 means 1 */
    float edge_hidden_ratio;  /**< of that of edges, in D */
    int targets;              /**< values of a graph; 0 means 1 */
    int loss;                 /**< enum ssa_loss */
    int edge_mode;            /**< enum ssa_edge_mode */
    int activation;           /**< of MLPs and head; 0 means SSA_ACT_ELU */
    int head_layers;          /**< linear layers of the head, 1 or 3; 0 means 3 */
    float head_start;         /**< bias of its last in a new model; 0: as others */
    float clip;               /**< 0 means 5; SSA_NONE: none */
    float norm_eps;           /**< 0 means 1e-5 */
    int scale_degrees;        /**< 1: sums of gates over a sample of unbiased plans are multiplied by how many times more a
                                   dense layer sees, so that dense passes have the same scale */
    int virtual_see_padding;  /**< 1: virtual nodes see the padding of their batch, whose rows are computed, seeing
                                   virtual nodes: so the authors' code does, and predictions depend on how far a graph is
                                   padded. For weights that were trained so; passes must be dense, padding zeroes */
    float dropout;            /**< after both branches of nodes of a layer, in [0, 1) */
    float edge_dropout;       /**< after both of edges */
    float attention_dropout;  /**< of attention's probabilities, behind the gates */
    float activation_dropout; /**< of what the MLPs' activations give */
    float drop_path;          /**< of all branches of the last layer, of a graph as a whole; less in those below, in
                                   proportion to their number, 0 in the first */
    float drop_keys;          /**< of attention's logits, in the place of attention_dropout: one of both is 0 */
};

/** Families of models: which member of a config counts. */
enum ssa_family_number { SSA_GPT, SSA_VIT, SSA_PIXELS, SSA_SWIN, SSA_WORDS, SSA_EGT };

/** What a model is. */
struct ssa_model_config {
    int family; /**< enum ssa_family_number */
    union {
        struct ssa_gpt gpt;
        struct ssa_vit vit;
        struct ssa_pixels pixels;
        struct ssa_swin swin;
        struct ssa_words words;
        struct ssa_egt egt;
        size_t room[64]; /**< no member will be larger */
    };
};

enum ssa_field_kind { SSA_FIELD_INT, SSA_FIELD_FLOAT };

/** A field of a family's config. What checks a config, writes it to files, compares two, and offers it on a command line
 *  goes by this table. One of whole numbers from 0 to 1 without `choices` is a yes or no. */
struct ssa_field {
    const char *name;
    int kind;           /**< enum ssa_field_kind */
    size_t at;          /**< in struct ssa_model_config */
    double least, most; /**< what it may be, both included */
    int flags;          /**< SSA_FIELD_FREE: parameters fit a model in which it is another; SSA_FIELD_LATER: 0 in files
                             that were written before there was such a field */
    const char *about;
    const char *choices;  /**< NULL, or words for the whole numbers from `least` on, "rotary|learned" */
    const char *option;   /**< on command lines: NULL is `name` with dashes for underscores; one of `choices`: an option
                               of this name chooses it, and takes no value */
    const char *contrary; /**< of a yes or no: the name of what is so where it is 0, in logs: "tied" of `untied` */
    int count; /**< 0: it is one value; else an array of so many, of which those behind the first may be 0, too: in
                    files a list, on command lines with commas between */
};
enum { SSA_FIELD_FREE = 1, SSA_FIELD_LATER = 2 };

/** The fields of a family, the last has a name of NULL; and its name. NULL: there is no such family. */
SSA_API const struct ssa_field *ssa_model_fields(int family);
SSA_API const char *ssa_model_family(int family);

/** Fills in what zero means, of a config that may be wrong elsewhere. Of no family: leaves it. */
SSA_API void ssa_model_settle(struct ssa_model_config *config);

/** SSA_EINVAL names the field that is wrong and what would be right. */
SSA_API int ssa_model_check(const struct ssa_model_config *config);

/** N, the positions of its longest sequence, or of all; 0 if the config is wrong. */
SSA_API int ssa_model_length(const struct ssa_model_config *config);

/** What the sequences of a layer of attention are: of plans for it. */
struct ssa_layer {
    int length;    /**< N; of sequences of mixed size, of the longest */
    int sequences; /**< in one of the model's sequences, one after another: windows; else 1 */
    int own_key;   /**< 1: a query must see its own key, whatever is drawn, for others may be hidden from it */
    int mixed;     /**< 1: a pass says how many of its positions are real, sequence by sequence, */
    int lead;      /**< and the first, virtual nodes, always are: every query sees them, whatever is drawn */
    int rows, columns, channels; /**< of the grid that its last positions are, as in struct ssa_sample: patches of a vit
                                      behind its class token, a window of a swin, pixels and their channels; else 0 */
};

/** Layers of attention, 0 if the config is wrong; and layer `layer` of them, from 0, in a pass of the model's whole
 *  length. SSA_EINVAL: the config is wrong, or there is no such layer. */
SSA_API int ssa_model_layers(const struct ssa_model_config *config);
SSA_API int ssa_model_layer(const struct ssa_model_config *config, int layer, struct ssa_layer *of);

/** Parameters (floats) of such a model; 0 if the config is wrong. */
SSA_API size_t ssa_model_elements(const struct ssa_model_config *config);

/** What a model is made for. */
struct ssa_model_limits {
    int batch;           /**< most sequences in one pass (the micro-batch) */
    int training;        /**< 1: gradients, and the activations that backward needs, are kept */
    size_t max_buffer;   /**< largest single buffer in elements; 0 means what the device allows */
    size_t reserved[4];
};

/** Bytes of device memory. `total` is the sum of those before it. Beside it operators keep scratch of their own (packed
 *  matrices, split sums), which grows at the first steps to a few per cent of the activations; and `cache`, keys and
 *  values of one sequence, is allocated by the first ssa_generate(), once for each pass of an ensemble, and stays as long
 *  as the model. */
struct ssa_memory {
    size_t parameters, gradients, moments, activations, inputs, total, cache;
};

/** What a model will take, before anything is allocated. moments is 0: they are the trainer's, with the sums of
 *  gradients that it keeps apart where a step has several micro-batches (log2 of their number), and with the average of
 *  the weights where it keeps one. ssa_train_check() has them. */
SSA_API int ssa_model_memory(const struct ssa_model_config *config, const struct ssa_model_limits *limits,
                             struct ssa_memory *memory);

/** Threads: as its device, or pool: one at a time. What only reads its config, limits and tables may be called on
 *  any. */
struct ssa_model;

/** Allocates a model; its parameters are ssa_model_initialise()d with seed 0.
 *  SSA_EINVAL: see ssa_model_check(). SSA_ENOMEM: "needs X MiB, device has Y", and a smaller batch or width that would
 *  fit; nothing stays allocated. */
SSA_API int ssa_model_create(struct ssa_model **model, struct ssa_device *device,
                             const struct ssa_model_config *config, const struct ssa_model_limits *limits);
SSA_API void ssa_model_destroy(struct ssa_model *model);

SSA_API const struct ssa_model_config *ssa_model_config(const struct ssa_model *model);
SSA_API const struct ssa_model_limits *ssa_model_limits(const struct ssa_model *model);
SSA_API struct ssa_device *ssa_model_device(const struct ssa_model *model);

/** As GPT-2: matrices and embeddings from N(0, 0.02^2), those that end a residual branch divided by sqrt(2L), gains 1,
 *  biases 0. As DeiT: matrices, class token and positions from N(0, 0.02^2), but those of the patches, and their bias,
 *  uniform up to 1/sqrt(elements of a patch); gains 1, other biases 0. Pixels: tables and start from N(0, 0.01^2),
 *  positions of a third of this variance, what enters a branch of variance 1/(8 C), what ends it 1/(16 L inputs); gains
 *  1, biases and head 0. Swin: as DeiT, tables of biases from N(0, 0.02^2). Words, as fairseq: tables from
 *  N(0, 1/width), their projections, the rows of bands, qkv and proj uniform as Glorot and Bengio, qkv with a gain of
 *  sqrt(1/2); the MLP and its biases uniform up to 1/sqrt(inputs). EGT: tables and what is of virtual nodes from N(0, 1),
 *  rows of id 0 zeroes, matrices and their biases uniform up to 1/sqrt(inputs), norms 1 and 0. From a counter-based
 *  generator: the same bits on every machine. */
SSA_API int ssa_model_initialise(struct ssa_model *model, uint64_t seed);

/* ---- parameters ---- */

/** One parameter. Matrices (decayed by the optimiser) come first, then gains and biases. Names are "embed.weight"
 *  [V,C], "position.weight" [N,C], "layer.3.qkv.weight" [(H + 2 kv_heads) D, C], "layer.3.proj.weight" [C,C],
 *  "layer.3.up.weight" [hidden,C], "layer.3.down.weight" [C,hidden], "head.weight" [V,C]; "layer.3.norm1.gain",
 *  "layer.3.norm1.bias", "layer.3.qkv.bias", ..., "norm.gain". A vit's are "patch.weight" [C, channels patch^2] (channel,
 *  row, column: a convolution's), "patch.bias", those of the layers, "head.weight" [V,C], "head.bias"; "class.weight" [C]
 *  and "position.weight" [N,C] are not decayed. Pixels have "row.weight", "column.weight", "channel.weight" and
 *  "label.weight", [.,C] each, and "start"; their qkv is [H (2 key_width + C/H), C]. A swin's are a vit's without class
 *  and positions, "patch.norm.gain", "patch.norm.bias", of each layer "layer.3.relative.weight" [(2 window - 1)^2, H],
 *  which is not decayed, and after stage i "merge.i.norm.gain", "merge.i.norm.bias", "merge.i.weight" [2 C, 4 C]. Words
 *  have of band b "embed.b.weight" [words of it, C_b] and "embed.b.proj.weight" [C, C_b], and of all bands but the first
 *  "tails.weight" [bands - 1, C].
 *  An egt's are "node.weight", "hop.weight", "edge.weight", "virtual.weight" [v, C] and "virtual_edge.weight" [v, D], none
 *  decayed, "encoding.weight" [C, encodings], "encoding.bias"; those of layers with biases, "layer.3.edge.norm1.gain" and
 *  .bias, "layer.3.edge.pair.weight" [2 H, D], E before G, and .bias, "layer.3.edge.proj.weight" [D, H] and .bias,
 *  "layer.3.edge.norm2.gain" and so on as of the MLP of nodes; "head.0.weight" to "head.2.weight", and .bias. */
struct ssa_parameter {
    char name[48];
    int rows, columns;             /**< columns 0: a vector of `rows` */
    size_t count;
    int decayed;
    struct ssa_tensor value, grad; /**< grad is absent unless training */
    int part;                      /**< which of ssa_model_part()s holds it */
    size_t offset;                 /**< and where in it */
};

SSA_API int ssa_model_tensors(const struct ssa_model *model);
SSA_API const struct ssa_parameter *ssa_model_parameter(const struct ssa_model *model, int i);
/** By name; NULL if there is none. */
SSA_API const struct ssa_parameter *ssa_model_find(const struct ssa_model *model, const char *name);

/** A run of parameters side by side in one buffer, all decayed or none: what an optimiser updates in one call. They lie
 *  in the order in which backward completes their gradients. Padding between parameters is zero and stays so. */
struct ssa_model_part {
    struct ssa_tensor value, grad;
    size_t count;
    int decayed;
};
SSA_API int ssa_model_part_count(const struct ssa_model *model);
SSA_API struct ssa_model_part ssa_model_part(const struct ssa_model *model, int i);

/* ---- passes ---- */

/** One pass over `batch` sequences of `length` positions. What a family does not take is NULL: SSA_EINVAL. */
struct ssa_pass {
    const int32_t *tokens;  /**< [batch, length], host memory, in [0, V) */
    const int32_t *targets; /**< [batch, answers of a sequence] or NULL: no loss; negative: ignored. A GPT has an answer
                                 a position; other families' docstrings say how many */
    int batch, length;      /**< 0 means the model's; never more than them */
    const struct ssa_plan *const *plans; /**< NULL: dense; else one a layer, NULL or SSA_DENSE-like for dense: of the
                                              length of its sequences, of one example, or of all that the batch has */
    int training;           /**< 1: dropout is on and backward may follow */
    float smoothing;        /**< of the labels; 0 of words */
    float grad_scale;       /**< d(objective)/d(sum of losses): 1/(counted targets) for the mean; 0 means 1 */
    uint64_t seed, step;    /**< of dropout, */
    uint32_t first_example; /**< and the number of the pass's first sequence in its step */
    int accumulate;         /**< 1: backward adds to gradients; else it sets them. Where logits are too many to be kept,
                                 and of words, the head's share is put into them by forward */
    const float *pixels;       /**< [batch, rows, columns, channels], as the model is to see them: finite */
    const float *soft_targets; /**< [batch, classes], instead of targets: weights of all classes, which add up to 1
                                    (mixed or smoothed labels); a row of zeros is ignored */
    const int32_t *labels;     /**< [batch], in [0, classes): of pixels with classes */

    /* Sequences of mixed size. `length` is then what the longest of the batch takes, what is below is laid out by it,
     * and n = length - virtual nodes, which come first and have none of it. Where a plan is NULL, a layer is dense over
     * the real positions of each sequence. */
    const int32_t *lengths;    /**< [batch], 0 or in [virtual nodes, length]: real positions of each sequence, virtual
                                    nodes included; later ones are padding, which nothing sees, and whose values below
                                    do not count */
    const int32_t *nodes;      /**< [batch, n, node_ids]; 0: none, else 1 + feature * node_values + value */
    const float *encodings;    /**< [batch, n, encodings]: finite */
    const int32_t *edges;      /**< [batch, n, n, edge_ids]; 0: none, else 1 + feature * edge_values + value */
    const int32_t *hops;       /**< [batch, n, n], in [0, hops] */
    const float *values;       /**< [batch, answers]: targets of a model whose answers are values, or NULL: no loss;
                                    NaN: ignored */
    size_t reserved[4];
};

/** Enqueues a forward pass. With targets, hard or soft or values, ssa_model_losses() holds a loss an answer afterwards,
 *  in nats, or of values as the model's loss says.
 *  What `pass` points to may be reused when the call returns. */
SSA_API int ssa_model_forward(struct ssa_model *model, const struct ssa_pass *pass);

/** Enqueues the backward pass of the last forward, which must have had `training` and targets. Once a forward. */
SSA_API int ssa_model_backward(struct ssa_model *model);

/** Losses of the last forward, [batch * answers of a sequence], 0 where ignored. */
SSA_API struct ssa_tensor ssa_model_losses(const struct ssa_model *model);

/** Logits [V], of words log-probabilities, of position `position` of sequence `sequence` of the last forward that was
 *  not for training, on the host: of one of its answers, 0 where a sequence has one. Where answers are values it is the
 *  value. Waits. */
SSA_API int ssa_model_read_logits(struct ssa_model *model, int sequence, int position, float *logits);

#ifdef __cplusplus
}
#endif
#endif
