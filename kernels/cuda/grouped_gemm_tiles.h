// The tiles of grouped_gemm.h: which one a call takes, and how many bytes a stage of it has. Plain constants, shared by
// the kernel (grouped_gemm_kernel.h) and the model of its costs (kernels/roofline).
#ifndef KERNELS_CUDA_GROUPED_GEMM_TILES_H_
#define KERNELS_CUDA_GROUPED_GEMM_TILES_H_

#include <cstdint>

namespace eaq::kernels::cuda {

// Weights of weight_bits times activations of activation_bits. grids: how many a row has for each brick of 128 columns
// (1, 2, 4: groups of 128, 64, 32), or 0: one grid for the whole row.
struct GemmKind {
  int weight_bits, activation_bits, grids;
  constexpr bool grouped() const { return grids > 0; }
  // Whether a byte of weights holds codes of two outputs, 16 rows apart: row tiles come in pairs.
  constexpr bool paired() const { return weight_bits == 4 && activation_bits == 8; }
  constexpr int brick_rows() const { return paired() ? 32 : 16; }
};
constexpr int GridsOfBrick(int64_t group) { return group == 0 ? 0 : static_cast<int>(128 / group); }

// A block: row_warps x token_warps warps, each with row_tiles x token_tiles tiles of mma (16 outputs x 8 tokens);
// `bricks` of 128 columns a stage, `stages` in its ring; `blocks` on a multiprocessor that registers are limited for.
struct GemmTileShape {
  int row_warps, token_warps, row_tiles, token_tiles, bricks, stages, blocks;
  constexpr int threads() const { return 32 * row_warps * token_warps; }
  constexpr int rows() const { return row_warps * row_tiles * 16; }
  constexpr int tokens() const { return token_warps * token_tiles * 8; }
};

// A good token_tile for so many slots over so many experts.
constexpr int TokenTile(int64_t slots, int64_t experts) {
  const int64_t mean = (slots + experts - 1) / experts;
  return mean <= 4 ? 8 : mean <= 12 ? 16 : mean <= 48 ? 32 : 128;
}

// By token_tile (8, 16, 32, 128), with shared memory that fits sm_86's 99 KiB. Beside bfloat16, and at 128 tokens,
// chosen by measurement on an H100 among a dozen; integers at fewer tokens by their instructions a product, not
// measured. Where a row of weights costs arithmetic beyond mma (bfloat16 from codes, groups), a warp takes two row
// tiles, so that tokens are loaded half as often, as long as that leaves a tile for every multiprocessor (`many`).
constexpr GemmTileShape ChooseTile(GemmKind kind, int token_tile, bool many) {
  const int w = kind.weight_bits, a = kind.activation_bits;
  const bool costly = a == 16 || kind.grouped(), two = costly || kind.paired();
  switch (token_tile) {
    case 8:
      if (costly && many) return {4, 1, 2, 1, 1, 4, 4};
      if (a == 16) return {4, 1, 1, 1, 2, 4, 4};
      return {2, 1, 2, 1, w == 8 || kind.grids > 2 ? 1 : 2, 4, 4};
    case 16:
      return {4, 1, two ? 2 : 1, 2, two || w == 8 ? 1 : 2, 4, costly ? 3 : 4};
    case 32:
      return {4, 1, two ? 2 : 1, 4, 1, 4, costly ? 2 : 4};
    default:
      // Two planes of codes and groups, or small groups: the wider tile's registers would spill.
      if (kind.grids > 1 || (kind.grouped() && (w == 3 || w == 6))) return {2, 4, 2, 4, 1, 2, 1};
      if (costly) return {4, 2, 2, 8, 1, a == 16 || w == 8 ? 2 : 3, 1};
      return {2, 2, 4, 8, 1, 3, 2};
  }
}

// Where experts have different widths in one launch: the tile of all of them, whatever the width; it may differ in
// bricks.
constexpr GemmTileShape MixedTile(GemmKind kind, int token_tile, bool many) {
  if (kind.activation_bits == 16) return ChooseTile({3, 16, kind.grids}, token_tile, many);
  if (token_tile == 128) {  // registers, again
    return kind.grouped() ? GemmTileShape{2, 4, 2, 4, 1, 2, 1} : GemmTileShape{4, 2, 2, 8, 1, 3, 1};
  }
  GemmTileShape tile = ChooseTile({4, 8, kind.grids}, token_tile, many);
  if (kind.weight_bits == 8) tile.bricks = 1;
  if (kind.grouped() && token_tile == 16) tile.blocks = 2;  // registers, once more
  return tile;
}

// Whether there are 128-row tiles for all multiprocessors, as far as the host can tell.
constexpr bool ManyTiles(int64_t slots, int64_t experts, int64_t rows, int multiprocessors) {
  return (slots < experts ? slots : experts) * ((rows + 127) / 128) >= multiprocessors;
}

// Tiles of one slot tile, and at most of a call.
constexpr int64_t RowTiles(const GemmTileShape& t, int64_t rows) {
  return ((rows + 15) / 16 * 16 + t.rows() - 1) / t.rows();
}
constexpr int64_t MostTiles(const GemmTileShape& t, int64_t rows, int64_t slots, int64_t experts) {
  const int64_t slot_tiles = slots / t.tokens() + experts;
  return (slot_tiles < slots ? slot_tiles : slots) * RowTiles(t, rows);
}
// Loads of FindExpert (find_expert.h) that wait for each other: the last finds one of 31 experts.
constexpr int FindExpertLoads(int64_t experts) {
  int loads = 1;
  for (; experts > 31; experts = (experts + 32) / 32) ++loads;
  return loads;
}

// Bytes of one stage: weights, tokens, scales, zero points, sums of the tokens' codes.
struct GemmStage {
  int weights, tokens, scales, zeros, sums;
  constexpr int bytes() const { return weights + tokens + scales + zeros + sums; }
};
constexpr int WeightBrickBytes(GemmKind k) { return k.brick_rows() * 16 * k.weight_bits; }
constexpr int TokenBrickBytes(GemmKind k) { return 16 * k.activation_bits; }  // of one token
constexpr GemmStage StageOf(GemmKind k, const GemmTileShape& t) {
  return {t.rows() / k.brick_rows() * t.bricks * WeightBrickBytes(k), t.tokens() * t.bricks * TokenBrickBytes(k),
          t.bricks * k.grids * t.rows() * 2, t.bricks * k.grids * t.rows(),
          k.activation_bits != 16 ? t.bricks * k.grids * t.tokens() * 4 : 0};
}
constexpr int RowTableBytes(const GemmTileShape& t) { return 2 * t.tokens() * 4; }
constexpr int SharedBytes(GemmKind k, const GemmTileShape& t) {
  return t.stages * StageOf(k, t).bytes() + RowTableBytes(t);
}

}  // namespace eaq::kernels::cuda

#endif  // KERNELS_CUDA_GROUPED_GEMM_TILES_H_
