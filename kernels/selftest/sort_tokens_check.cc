// kernels/cuda/sort_tokens.h against a loop over the pairs.
#include <algorithm>
#include <vector>

#include "kernels/cuda/sort_tokens.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

void CheckSort(Checker& c, const std::vector<int32_t>& ids, int64_t experts, int64_t tile_rows) {
  const auto pairs = static_cast<int64_t>(ids.size());
  std::vector<int32_t> pair_of_slot, slot_of_pair(pairs, -1), offsets = {0}, tiles = {0};
  for (int64_t e = 0; e < experts; ++e) {
    for (int64_t p = 0; p < pairs; ++p) {
      if (ids[p] != e) continue;
      slot_of_pair[p] = static_cast<int32_t>(pair_of_slot.size());
      pair_of_slot.push_back(static_cast<int32_t>(p));
    }
    offsets.push_back(static_cast<int32_t>(pair_of_slot.size()));
    tiles.push_back(static_cast<int32_t>(tiles.back() + (offsets[e + 1] - offsets[e] + tile_rows - 1) / tile_rows));
  }
  pair_of_slot.resize(pairs, -1);

  DeviceArray<int32_t> d_ids("ids", ids), d_slots("pair_of_slot", pairs), d_pairs("slot_of_pair", pairs),
      d_offsets("offsets", experts + 1), d_tiles("tile_offsets", experts + 1),
      workspace("workspace", cuda::SortTokensWorkspace(pairs, experts));
  const cuda::SortedTokens sorted{d_slots.data(), d_pairs.data(), d_offsets.data(), d_tiles.data()};
  c.Expect(cuda::SortTokens(d_ids.data(), pairs, experts, tile_rows, workspace.data(), sorted, nullptr) == 0, "launch");
  c.Same(d_offsets.Download(), offsets, "offsets");
  c.Same(d_tiles.Download(), tiles, "tile_offsets");
  c.Same(d_slots.Download(), pair_of_slot, "pair_of_slot");
  c.Same(d_pairs.Download(), slot_of_pair, "slot_of_pair");
  workspace.Download();  // for its red zones
}

EAQ_CHECK_CASE(SortTokensRandom) {
  Random random(c.seed());
  for (const int64_t pairs : {0, 1, 31, 32, 33, 1000, 1024, 1025, 2500}) {
    if (c.small() && pairs > 33) break;
    for (const int64_t experts : {1, 8, 60, 300})
      CheckSort(c, random.Integers<int32_t>(pairs, 0, experts - 1), experts, pairs % 2 == 0 ? 16 : 64);
  }
  CheckSort(c, random.Integers<int32_t>(1500, 0, 1023), 1024, 8);
}

EAQ_CHECK_CASE(SortTokensEdges) {
  Random random(c.seed());
  for (const int64_t pairs : {5, 1030}) {
    CheckSort(c, std::vector<int32_t>(pairs, 7), 16, 8);          // all on one
    CheckSort(c, std::vector<int32_t>(pairs, 15), 16, 8);         // the last one
    CheckSort(c, std::vector<int32_t>(pairs, -1), 16, 8);         // no expert at all
    CheckSort(c, random.Integers<int32_t>(pairs, -3, 12), 8, 8);  // some ids without expert, below and above
  }
  const cuda::SortedTokens none{};
  c.Expect(cuda::SortTokens(nullptr, 1, 1025, 8, nullptr, none, nullptr) != 0, "1025 experts");
  c.Expect(cuda::SortTokens(nullptr, 1, 0, 8, nullptr, none, nullptr) != 0, "no experts");
  c.Expect(cuda::SortTokens(nullptr, 1, 8, 0, nullptr, none, nullptr) != 0, "tiles of no rows");
}

}  // namespace
}  // namespace eaq::kernels::selftest
