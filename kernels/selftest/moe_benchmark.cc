// The quantized mixture of experts on the shapes of OLMoE and Mixtral: each product, the steps round it, and the whole
// layer from hidden states to hidden states, at decode (1, 8, 64 tokens) and prefill (4096). cuBLAS, one product an
// expert in a loop over already gathered tokens, is the peer.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "kernels/cuda/combine.h"
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/half.h"
#include "kernels/cuda/pack_weights.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/route.h"
#include "kernels/cuda/sort_tokens.h"
#include "kernels/selftest/benchmark.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

#if defined(EAQ_SELFTEST_CUBLAS)
#include <cublas_v2.h>
#endif

namespace eaq::kernels::selftest {
namespace {

using cuda::GemmFormat;

struct Model {
  const char* name;
  int64_t hidden, width, experts, k;
};
constexpr Model kModels[] = {{"OLMoE", 2048, 1024, 64, 8}, {"Mixtral", 4096, 14336, 8, 2}};

struct Format {
  const char* name;
  GemmFormat format;
  int weight_bits, activation_bits;
  int64_t group;
};
constexpr Format kFormats[] = {
    {"W8A8", GemmFormat::kW8A8, 8, 8, 0},           {"W4A8", GemmFormat::kW4A8, 4, 8, 0},
    {"W4A8 g128", GemmFormat::kW4A8, 4, 8, 128},    {"W4A8 g32", GemmFormat::kW4A8, 4, 8, 32},
    {"W4A4", GemmFormat::kW4A4, 4, 4, 0},           {"W4A16", GemmFormat::kW4A16, 4, 16, 0},
    {"W4A16 g128", GemmFormat::kW4A16, 4, 16, 128}, {"W3A16 g128", GemmFormat::kW3A16, 3, 16, 128},
    {"W2A16 g128", GemmFormat::kW2A16, 2, 16, 128},
};

// Device memory with a pattern of 4 MiB over and over: weights of any size in no time, and nothing is zero.
template <typename T>
void FillPattern(DeviceArray<T>* array, const std::vector<T>& pattern) {
  const auto piece = static_cast<int64_t>(pattern.size());
  for (int64_t at = 0; at < array->size(); at += piece) {
    cudaMemcpy(array->data() + at, pattern.data(), std::min(piece, array->size() - at) * sizeof(T), cudaMemcpyDefault);
  }
}

// One role's matrices of all experts.
struct Weights {
  Weights(const Model& m, const Format& f, int64_t rows_, int64_t cols_, Random& random)
      : rows(rows_),
        cols(cols_),
        groups(f.group == 0 ? 1 : cols_ / f.group),
        bytes(cuda::FragmentBytes(rows, cols, f.weight_bits, cuda::OrderOf(f.format)) + groups * rows * 3),
        codes("codes", m.experts * cuda::FragmentBytes(rows, cols, f.weight_bits, cuda::OrderOf(f.format))),
        zeros("zeros", m.experts * groups * rows),
        scales("scales", m.experts * groups * rows),
        sums("column sums", m.experts * rows),
        experts("experts", m.experts) {
    FillPattern(&codes, random.Integers<uint8_t>(1 << 22, 0, 255));
    FillPattern(&zeros, random.Integers<uint8_t>(1 << 20, 0, (1 << f.weight_bits) - 1));
    std::vector<uint16_t> halves(1 << 18);
    for (uint16_t& h : halves) h = cuda::ToHalf(static_cast<float>(1e-3 * (0.5 + random.Uniform()))).bits;
    FillPattern(&scales, halves);
    FillPattern(&sums, random.Normals(1 << 16));
    std::vector<cuda::ExpertMatrix> matrices;
    for (int64_t e = 0; e < m.experts; ++e) {
      matrices.push_back({codes.data() + e * cuda::FragmentBytes(rows, cols, f.weight_bits, cuda::OrderOf(f.format)),
                          scales.data() + e * groups * rows, zeros.data() + e * groups * rows, sums.data() + e * rows});
    }
    experts.Upload(matrices);
  }
  int64_t rows, cols, groups, bytes;  // bytes of one expert
  DeviceArray<uint8_t> codes, zeros;
  DeviceArray<uint16_t> scales;
  DeviceArray<float> sums;
  DeviceArray<cuda::ExpertMatrix> experts;
};

// A batch of tokens and everything between the hidden states and the results.
struct Batch {
  Batch(const Model& m, int64_t tokens_, Random& random, int routing)
      : tokens(tokens_),
        slots(tokens_ * m.k),
        tile(cuda::TokenTile(slots, m.experts)),
        chosen("chosen", slots),
        pair_of_slot("pair_of_slot", slots),
        slot_of_pair("slot_of_pair", slots),
        offsets("offsets", m.experts + 1),
        tiles("tiles", m.experts + 1),
        workspace("workspace", std::max<int64_t>(1, cuda::SortTokensWorkspace(slots, m.experts))),
        weights("weights", slots) {
    // Different experts in every routing, so that small batches do not find their weights in the cache.
    std::vector<int32_t> ids;
    std::set<int32_t> used;
    for (int64_t t = 0; t < tokens; ++t) {
      std::set<int32_t> mine;
      while (static_cast<int64_t>(mine.size()) < m.k) {
        const int64_t e = tokens == 1 ? (routing * m.k + static_cast<int64_t>(mine.size())) % m.experts
                                      : random.Integer(0, m.experts - 1);
        if (mine.insert(static_cast<int32_t>(e)).second) ids.push_back(static_cast<int32_t>(e));
      }
      used.insert(mine.begin(), mine.end());
    }
    experts_used = static_cast<int64_t>(used.size());
    chosen.Upload(ids);
    weights.Upload(random.Normals(slots));
    cuda::SortTokens(chosen.data(), slots, m.experts, tile, workspace.data(), sorted(), nullptr);
    cudaDeviceSynchronize();
  }
  cuda::SortedTokens sorted() { return {pair_of_slot.data(), slot_of_pair.data(), offsets.data(), tiles.data()}; }

  int64_t tokens, slots;
  int tile;
  int64_t experts_used = 0;
  DeviceArray<int32_t> chosen, pair_of_slot, slot_of_pair, offsets, tiles, workspace;
  DeviceArray<float> weights;
};

struct Layer {
  Layer(const Model& model_, const Format& format_, int64_t tokens_, Random& random)
      : model(model_),
        format(format_),
        tokens(tokens_),
        slots(tokens * model.k),
        gate_up(model, format, 2 * model.width, model.hidden, random),
        down(model, format, model.hidden, model.width, random),
        x("x", tokens * model.hidden),
        router("router", random.Normals(model.experts * model.hidden)),
        logits("logits", tokens * model.experts),
        h("h", format.activation_bits == 16 ? 1 : slots * model.width),
        y("y", slots * model.hidden),
        out("out", tokens * model.hidden),
        x_in("x codes", tokens * model.hidden * format.activation_bits / 8),
        h_in("h codes", slots * model.width * format.activation_bits / 8),
        x_scales("x scales", tokens),
        h_scales("h scales", slots),
        x_zeros("x zeros", tokens),
        h_zeros("h zeros", slots),
        x_sums("x sums", tokens * (model.hidden / 128 * sums_of_brick() + 1)),
        h_sums("h sums", slots * (model.width / 128 * sums_of_brick() + 1)) {
    FillPattern(&x, random.Normals(1 << 18));
    FillPattern(&h, random.Normals(1 << 18));
    FillPattern(&y, random.Normals(1 << 18));
    for (int i = 0; i < (tokens == 1 ? 8 : 2); ++i)
      batches.push_back(std::make_unique<Batch>(model, tokens, random, i));
  }
  Batch& batch(int i) { return *batches[i % batches.size()]; }
  bool integer() const { return format.activation_bits != 16; }
  int sums_of_brick() const { return format.group == 0 ? 1 : static_cast<int>(128 / format.group); }

  void QuantizeInput(void* stream) {
    const cuda::RowSource source{x.data(), model.hidden, tokens, model.hidden};
    if (integer()) {
      cuda::RowQuantizer q{format.activation_bits};
      q.pack4 = format.activation_bits == 4;
      q.sums_of_brick = sums_of_brick();
      cuda::QuantizeRows(source, q, x_in.data(), x_scales.data(), x_zeros.data(), x_sums.data(), stream);
    } else {
      cuda::GatherRowsBf16(source, 1, reinterpret_cast<uint16_t*>(x_in.data()), stream);
    }
  }
  void QuantizeHidden(void* stream) {  // bfloat16: the first product's epilogue has done it
    if (!integer()) return;
    const cuda::RowSource source{h.data(), model.width, slots, model.width};
    cuda::RowQuantizer q{format.activation_bits};
    q.pack4 = format.activation_bits == 4;
    q.sums_of_brick = sums_of_brick();
    cuda::QuantizeRows(source, q, h_in.data(), h_scales.data(), h_zeros.data(), h_sums.data(), stream);
  }
  cuda::GroupedGemmArguments Common(Batch& b, Weights& w) {
    cuda::GroupedGemmArguments a;
    a.experts = w.experts.data();
    a.expert_count = model.experts;
    a.rows = w.rows;
    a.cols = w.cols;
    a.group = format.group;
    a.offsets = b.offsets.data();
    a.tile_offsets = b.tiles.data();
    a.slots = slots;
    a.token_tile = b.tile;
    a.machine = machine;
    a.x_sums_of_brick = sums_of_brick();
    return a;
  }
  int GateUp(Batch& b, void* stream) {
    cuda::GroupedGemmArguments a = Common(b, gate_up);
    a.x = x_in.data();
    if (integer()) {
      a.x_scales = x_scales.data();
      a.x_zeros = x_zeros.data();
      a.x_sums = x_sums.data();
      a.y = h.data();
    } else {
      a.y_bf16 = reinterpret_cast<uint16_t*>(h_in.data());
    }
    a.x_rows = b.pair_of_slot.data();
    a.x_row_divisor = static_cast<int32_t>(model.k);
    a.swiglu = true;
    a.outputs = a.ldy = model.width;
    return cuda::GroupedGemm(format.format, a, stream);
  }
  int Down(Batch& b, void* stream) {
    cuda::GroupedGemmArguments a = Common(b, down);
    a.x = h_in.data();
    if (integer()) {
      a.x_scales = h_scales.data();
      a.x_zeros = h_zeros.data();
      a.x_sums = h_sums.data();
    }
    a.y = y.data();
    a.outputs = a.ldy = model.hidden;
    a.pair_weights = b.weights.data();
    a.pair_of_slot = b.pair_of_slot.data();
    return cuda::GroupedGemm(format.format, a, stream);
  }
  void Route(void* stream) {
    cuda::RouterLogits(x.data(), model.hidden, router.data(), tokens, model.hidden, model.experts, logits.data(),
                       stream);
    Batch& b = *batches[0];
    // Beside the batch's own choice, which stays: the times of the steps do not depend on it.
    cuda::RouteOptions options{static_cast<int>(model.k)};
    cuda::RouteTopK(logits.data(), nullptr, tokens, model.experts, options, b.slot_of_pair.data(), y.data(), stream);
  }
  void All(int i, void* stream) {
    Batch& b = batch(i);
    Route(stream);
    cuda::SortTokens(b.chosen.data(), slots, model.experts, b.tile, b.workspace.data(), b.sorted(), stream);
    QuantizeInput(stream);
    GateUp(b, stream);
    QuantizeHidden(stream);
    Down(b, stream);
    cuda::CombineExperts(y.data(), model.hidden, b.slot_of_pair.data(), tokens, model.k, model.hidden, false,
                         out.data(), model.hidden, stream);
  }

  const Model& model;
  const Format& format;
  int64_t tokens, slots;
  const cuda::Machine machine = MachineOfDevice();
  std::vector<std::unique_ptr<Batch>> batches;
  Weights gate_up, down;
  DeviceArray<float> x, router, logits, h, y, out;
  DeviceArray<int8_t> x_in, h_in;
  DeviceArray<float> x_scales, h_scales;
  DeviceArray<int32_t> x_zeros, h_zeros, x_sums, h_sums;
};

void BenchmarkLayer(Benchmark& b, const Model& model, const Format& format, int64_t tokens) {
  const std::string label = std::string(model.name) + " " + format.name + " " + std::to_string(tokens) + " tokens";
  if (!b.Wanted(label + " gate+up") && !b.Wanted(label + " down") && !b.Wanted(label + " layer")) return;
  Random random(1);
  Layer layer(model, format, tokens, random);
  layer.QuantizeInput(nullptr);
  if (layer.GateUp(layer.batch(0), nullptr) != 0) return;
  layer.QuantizeHidden(nullptr);
  cudaDeviceSynchronize();
  double used = 0;
  for (const auto& batch : layer.batches) used += static_cast<double>(batch->experts_used) / layer.batches.size();
  const Rate rate = format.activation_bits == 16 ? Rate::kBf16 : Rate::kInt8;
  const auto slots = static_cast<double>(layer.slots), hidden = static_cast<double>(model.hidden),
             width = static_cast<double>(model.width), in_bytes = format.activation_bits / 8.0;
  const int calls = tokens > 64 ? 4 : 32;
  const auto time = [&](const char* part, const std::function<void(int, void*)>& run) {
    return b.Wanted(label + part) ? b.TimeGraph(run, calls) : 1.0;
  };
  b.Report(label + " gate+up", time(" gate+up", [&](int i, void* s) { layer.GateUp(layer.batch(i), s); }),
           used * layer.gate_up.bytes + tokens * hidden * in_bytes + slots * width * (layer.integer() ? 4 : 2),
           4 * slots * hidden * width, rate);
  b.Report(label + " down", time(" down", [&](int i, void* s) { layer.Down(layer.batch(i), s); }),
           used * layer.down.bytes + slots * width * in_bytes + slots * hidden * 4, 2 * slots * hidden * width, rate);
  b.Report(label + " layer", time(" layer", [&](int i, void* s) { layer.All(i, s); }),
           used * (layer.gate_up.bytes + layer.down.bytes) + tokens * hidden * 8, 6 * slots * hidden * width, rate);
}

EAQ_BENCHMARK(MoeDecode) {
  for (const Model& model : kModels)
    for (const Format& format : kFormats)
      for (const int64_t tokens : {1, 8, 64}) BenchmarkLayer(b, model, format, tokens);
}

EAQ_BENCHMARK(MoePrefill) {
  for (const Model& model : kModels)
    for (const Format& format : kFormats) BenchmarkLayer(b, model, format, 4096);
}

// What the steps round the products cost.
EAQ_BENCHMARK(MoeSteps) {
  for (const Model& model : kModels) {
    for (const int64_t tokens : {1, 64, 4096}) {
      Random random(1);
      Layer layer(model, kFormats[0], tokens, random);
      Batch& batch = layer.batch(0);
      const std::string label = std::string(model.name) + " " + std::to_string(tokens) + " tokens ";
      const auto t = static_cast<double>(tokens), slots = static_cast<double>(layer.slots),
                 hidden = static_cast<double>(model.hidden), width = static_cast<double>(model.width),
                 experts = static_cast<double>(model.experts);
      b.Report(label + "route", b.TimeGraph([&](int, void* s) { layer.Route(s); }), 4 * (t + experts) * hidden,
               2 * t * hidden * experts, Rate::kNone);
      b.Report(label + "sort", b.TimeGraph([&](int, void* s) {
        cuda::SortTokens(batch.chosen.data(), layer.slots, model.experts, batch.tile, batch.workspace.data(),
                         batch.sorted(), s);
      }),
               12 * slots, 0, Rate::kNone);
      b.Report(label + "quantize x", b.TimeGraph([&](int, void* s) { layer.QuantizeInput(s); }), 5 * t * hidden, 0,
               Rate::kNone);
      b.Report(label + "quantize h", b.TimeGraph([&](int, void* s) { layer.QuantizeHidden(s); }), 5 * slots * width, 0,
               Rate::kNone);
      b.Report(label + "combine", b.TimeGraph([&](int, void* s) {
        cuda::CombineExperts(layer.y.data(), model.hidden, batch.slot_of_pair.data(), tokens, model.k, model.hidden,
                             false, layer.out.data(), model.hidden, s);
      }),
               4 * (slots + t) * hidden, 0, Rate::kNone);
    }
  }
}

#if defined(EAQ_SELFTEST_CUBLAS)
// The peer: a product of [tokens of the expert, cols] with each expert's [rows, cols], tokens gathered beforehand,
// results left as they are (bfloat16, or int32 for int8). Even loads.
EAQ_BENCHMARK(MoeCublas) {
  cublasHandle_t handle;
  if (cublasCreate(&handle) != CUBLAS_STATUS_SUCCESS) return;
  for (const Model& model : kModels) {
    for (const int64_t tokens : {1, 8, 64, 4096}) {
      for (const bool bf16 : {true, false}) {
        const int64_t used = std::min(model.experts, tokens * model.k), each = tokens * model.k / used;
        const int64_t rows = 2 * model.width, cols = model.hidden, bytes = bf16 ? 2 : 1;
        DeviceArray<uint16_t> w("w", model.experts * rows * cols * bytes / 2), x("x", used * each * cols * bytes / 2);
        Random random(1);
        std::vector<uint16_t> pattern = random.Integers<uint16_t>(1 << 21, 0, 65535);
        if (bf16)
          for (uint16_t& p : pattern) p = (p & 0x807f) | 0x3f80;
        FillPattern(&w, pattern);
        FillPattern(&x, pattern);
        DeviceArray<float> y("y", used * each * rows);
        const float one = 1, zero = 0;
        const int32_t one_int = 1, zero_int = 0;
        bool ok = true;
        const double seconds = b.TimeGraph(
            [&](int i, void* s) {
              cublasSetStream(handle, static_cast<cudaStream_t>(s));
              for (int64_t j = 0; j < used; ++j) {
                const int64_t e = (i * used + j) % model.experts;
                const auto* weights = reinterpret_cast<const char*>(w.data()) + e * rows * cols * bytes;
                const auto* tokens_of = reinterpret_cast<const char*>(x.data()) + j * each * cols * bytes;
                float* const to = y.data() + j * each * rows;
                const auto type = bf16 ? CUDA_R_16BF : CUDA_R_8I;
                const cublasStatus_t status = cublasGemmEx(
                    handle, CUBLAS_OP_T, CUBLAS_OP_N, static_cast<int>(rows), static_cast<int>(each),
                    static_cast<int>(cols), bf16 ? static_cast<const void*>(&one) : &one_int, weights, type,
                    static_cast<int>(cols), tokens_of, type, static_cast<int>(cols),
                    bf16 ? static_cast<const void*>(&zero) : &zero_int, to, bf16 ? CUDA_R_16BF : CUDA_R_32I,
                    static_cast<int>(rows), bf16 ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32I, CUBLAS_GEMM_DEFAULT);
                ok = ok && status == CUBLAS_STATUS_SUCCESS;
              }
            },
            tokens > 64 ? 4 : 16);
        if (!ok) continue;  // int8 has shapes that cuBLAS refuses
        const double slots = static_cast<double>(used * each);
        b.Report(std::string(model.name) + (bf16 ? " bf16 " : " int8 ") + std::to_string(tokens) + " tokens gate+up",
                 seconds, static_cast<double>(used * rows * cols * bytes), 2 * slots * rows * cols,
                 bf16 ? Rate::kBf16 : Rate::kInt8);
      }
    }
  }
  cublasDestroy(handle);
}
#endif

}  // namespace
}  // namespace eaq::kernels::selftest
