// A decoder layer as the bytes that a device holds: weights in fragment order, scales, norms and the tables that
// launches read, in one piece, so that a layer is one upload. Made on the host from the very objects that the CPU runs.
//
//   EAQ_ASSIGN_OR_RETURN(const LayerImage image, MakeLayerImage(layer, codes));
//   EAQ_RETURN_IF_ERROR(runner.Load(image));                     // device_runner.h
#ifndef EAQ_DEVICE_LAYER_IMAGE_H_
#define EAQ_DEVICE_LAYER_IMAGE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "eaq/device/device_linear.h"
#include "eaq/device/rows_image.h"
#include "eaq/model/layer.h"
#include "eaq/model/routing_policy.h"
#include "eaq/quant/quantize_ops.h"
#include "eaq/quant/quantized_matrix.h"
#include "kernels/cuda/route.h"

namespace eaq {

// A linear, or one linear of every expert: launches over the same slots, whose results add up.
struct Product {
  ProductFormat format;
  RowsImage input;
  int64_t experts = 1;
  int64_t rows = 0;     // of the matrices as the kernel has them
  int64_t cols = 0;     // inputs
  int64_t outputs = 0;  // results of a row
  bool swiglu = false;  // gate and up as one matrix: silu(gate) * up
  // Offsets, by plane: the launch's table (of pointers to bfloat16; of ExpertMatrix), or float32 rows.
  std::vector<int64_t> weights;
  std::vector<int64_t> matrices;  // of one expert in bfloat16: offsets of [rows, PaddedColumns(cols)], by plane
  int64_t bias = -1;              // offset of [outputs], or -1

  // Launches for one set of results.
  int64_t launches() const { return static_cast<int64_t>(weights.size()) * input.terms; }
};

struct SwiGluImage {
  std::vector<LinearId> gates, ups, downs;  // by expert, for observers
  Product gate;                             // or gate and up as one
  std::optional<Product> up;                // absent: as one
  Product down;
  int64_t width = 0;  // between them
};

// What to launch, with offsets into the image's bytes.
struct LayerPlan {
  int layer = 0;
  int64_t input_norm = -1, post_norm = -1, q_norm = -1, k_norm = -1;  // offsets; -1: none
  Product q, k, v, o;
  std::optional<Product> router;  // absent: a dense layer
  kernels::cuda::RouteOptions route;
  // The experts that can be chosen, rising: the mixture of this layer, numbered from 0 in this order. Empty: all.
  std::vector<int32_t> kept;
  int64_t kept_table = -1;                  // their offset
  std::optional<ExpertDrop> drop;           // experts that single tokens leave out at run time
  SwiGluImage experts;                      // of a dense layer: one
  std::optional<SwiGluImage> shared;        // a shared expert
  std::optional<Product> shared_gate;       // its sigmoid gate
  std::optional<StepImage> turn_keys;       // queries and keys after their rotation
  std::optional<InputFormat> keys, values;  // grids of attention operands, one a head: queries and keys; values
};

struct LayerImage {
  LayerPlan plan;
  std::vector<uint8_t> bytes;
  std::vector<int64_t> pointers;  // places in BYTES that hold offsets and must become addresses
};

// The bytes of IMAGE, all of them, as they must lie at BASE: written to TO.
void PlaceImage(const LayerImage& image, const uint8_t* base, uint8_t* to);

struct ImageOptions {
  // A row beside 16-bit activations enters a product as the sum of so many bfloat16 numbers each (kernels/cuda/
  // quantize_rows.h), one launch a term. Two hold 16 bits: evaluation, whose numbers are to be the CPU's. One holds 8
  // and is the fast form, with gate and up in one launch: rounding rows so moves a perplexity by some thousandths
  // (docs/gpu.md).
  int row_terms = 2;
};
inline constexpr int kMostRowTerms = 2;

// Unimplemented, with the reason, for what does not run on a device: linears (device_linear.h), clipping of queries,
// keys and values, operands on static grids or others than one of their own a head, heads of other than 32, 64 and 128
// channels, more than 512 experts.
absl::StatusOr<LayerImage> MakeLayerImage(const DecoderLayer& layer, const CodesOf& codes,
                                          const ImageOptions& options = {});

}  // namespace eaq

#endif  // EAQ_DEVICE_LAYER_IMAGE_H_
