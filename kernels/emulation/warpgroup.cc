#include "kernels/emulation/warpgroup.h"

#include <algorithm>

#include "kernels/emulation/block.h"
#include "kernels/emulation/limits.h"
#include "kernels/emulation/options.h"
#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/scheduler.h"
#include "kernels/emulation/warp.h"

namespace eaq::kernels::emulation {
namespace {

constexpr int32_t kPoison = 0x7fbadbad;
constexpr int kDepth = 32, kRowBytes = 128, kEightRows = 1024;
constexpr uint32_t kFirstAddress = 1024;  // of shared memory that a kernel has, on sm_90

// What the lanes of a warp bring.
struct Operands {
  int32_t* d;
  const uint32_t* a;
  uint64_t b;
  int n;
  bool add;
};

Block& BlockOf(const Warp& warp) { return *warp.lanes[0]->its_block; }

// Where shared memory with ADDRESS lies.
const int8_t* At(const Block& block, uint32_t address) {
  const auto start = static_cast<const int8_t*>(block.shared.dynamic());
  return start + (static_cast<int64_t>(address) - kFirstAddress -
                  static_cast<int64_t>(reinterpret_cast<uintptr_t>(start) % 1024));
}

// b[n][k] of the descriptor.
void GatherColumns(const Block& block, uint64_t descriptor, int n, int8_t (*b)[kDepth], Site site) {
  const auto start = static_cast<uint32_t>(descriptor & 0x3fff) << 4;
  const auto stride = static_cast<uint32_t>(descriptor >> 32 & 0x3fff) << 4;
  if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0) {
    Die("wgmma: a descriptor without 128-byte swizzle, or with a base offset (%s)", ToString(site).c_str());
  }
  if (stride != kEightRows) {
    Die("wgmma: rows of 128 bytes have %d bytes from eight to eight, the descriptor says %u (%s)", kEightRows, stride,
        ToString(site).c_str());
  }
  if (start % 1024 / kRowBytes != 0) {
    Die("wgmma: the swizzle goes by address, so that B starts in the first 128 bytes of a multiple of 1024, not at "
        "...%03x (%s)",
        start % 1024, ToString(site).c_str());
  }
  if (start % 1024 % kRowBytes + kDepth > kRowBytes) {
    Die("wgmma: B begins less than 32 bytes before the end of its rows (%s)", ToString(site).c_str());
  }
  for (int row = 0; row < n; ++row) {
    for (int chunk = 0; chunk < kDepth / 16; ++chunk) {
      const uint32_t plain = start + static_cast<uint32_t>(row / 8 * kEightRows + row % 8 * kRowBytes + chunk * 16);
      const int8_t* const from = At(block, plain ^ (plain >> 7 & 7) << 4);
      if (!block.shared.Contains(from, 16)) {
        Die("wgmma: row %d of B lies outside shared memory (%s)", row, ToString(site).c_str());
      }
      block.generic_writes.CheckFenced(from, 16, "wgmma", site);
      std::copy_n(from, 16, b[row] + chunk * 16);
    }
  }
}

void Compute(const Block& block, WgmmaProduct& product) {
  WgmmaSums& sums = *product.sums;
  const int n = sums.n;
  int16_t a[16][kDepth];
  for (int lane = 0; lane < 32; ++lane) {
    const int row = lane / 4, first = lane % 4 * 4;
    for (int r = 0; r < 4; ++r) {
      for (int e = 0; e < 4; ++e) {
        a[row + 8 * (r % 2)][first + e + 16 * (r / 2)] = static_cast<int8_t>(product.a[lane][r] >> (8 * e));
      }
    }
  }
  int8_t bytes[256][kDepth];
  GatherColumns(block, product.b, n, bytes, product.site);
  for (int column = 0; column < n; ++column) {
    int16_t b[kDepth];
    for (int k = 0; k < kDepth; ++k) b[k] = bytes[column][k];
    for (int row = 0; row < 16; ++row) {
      int32_t sum = 0;
      for (int k = 0; k < kDepth; ++k) sum += a[row][k] * b[k];
      const int lane = row % 8 * 4 + column % 8 / 2, element = column / 8 * 4 + row / 8 * 2 + column % 2;
      int32_t& d = sums.values[static_cast<size_t>(lane * (n / 2) + element)];
      d = static_cast<int32_t>((product.add ? static_cast<uint32_t>(d) : 0u) + static_cast<uint32_t>(sum));
    }
  }
  product.computed = true;
}

void CheckSame(Block& block, const Warp& warp, const Operands& operands, Site site) {
  std::vector<WgmmaIssue>& issues = block.wgmma_issues[warp.id / 4];
  const size_t index = warp.wgmma.issued;
  if (index == issues.size()) {
    issues.push_back({operands.b, operands.n, operands.add, site});
    return;
  }
  const WgmmaIssue& first = issues[index];
  if (first.b != operands.b || first.n != operands.n || first.add != operands.add || first.site != site) {
    Die("wgmma: the warps of warpgroup %u issue different products: at %s, and at %s", warp.id / 4,
        ToString(first.site).c_str(), ToString(site).c_str());
  }
}

void Issue(Warp& warp, unsigned) {
  const Quiet quiet;
  Block& block = BlockOf(warp);
  WgmmaQueue& queue = warp.wgmma;
  const Operands& first = In<Operands>(warp, 0);
  const Site site = warp.lanes[0]->site;
  if (block.warps.size() % 4 != 0) Die("wgmma in a block without whole warpgroups (%s)", ToString(site).c_str());
  if (!queue.fenced) Die("wgmma without wgmma.fence before its batch (%s)", ToString(site).c_str());
  for (int lane = 1; lane < 32; ++lane) {
    const Operands& other = In<Operands>(warp, lane);
    if (other.b != first.b || other.add != first.add) {
      Die("wgmma: lanes of a warp bring different descriptors (%s)", ToString(site).c_str());
    }
  }
  CheckSame(block, warp, first, site);
  ++queue.issued;
  Counters& counters = block.scheduler->counters;
  if (warp.id % 4 == 0) {
    ++counters.wgmma;
    counters.wgmma_columns += static_cast<uint64_t>(first.n);
  }
  auto sums =
      std::find_if(queue.sums.begin(), queue.sums.end(), [&](const WgmmaSums& s) { return s.registers[0] == first.d; });
  if (sums == queue.sums.end()) {
    queue.sums.emplace_back();
    sums = std::prev(queue.sums.end());
    sums->n = first.n;
    for (int lane = 0; lane < 32; ++lane) {
      sums->registers[lane] = In<Operands>(warp, lane).d;
      sums->values.insert(sums->values.end(), sums->registers[lane], sums->registers[lane] + first.n / 2);
      std::fill_n(sums->registers[lane], first.n / 2, kPoison);
    }
  } else if (sums->n != first.n) {
    Die("wgmma: another width for sums on their way (%s)", ToString(site).c_str());
  }
  ++sums->products;
  WgmmaProduct product = {sums, {}, first.b, first.add, false, site};
  for (int lane = 0; lane < 32; ++lane) product.a[lane] = In<Operands>(warp, lane).a;
  queue.products.push_back(product);
  ++queue.open;
  if (!CurrentOptions().copies_land_late) Compute(block, queue.products.back());
}

void Fence(Warp& warp, unsigned) { warp.wgmma.fenced = true; }

void Commit(Warp& warp, unsigned) {
  const Quiet quiet;
  WgmmaQueue& queue = warp.wgmma;
  queue.batches.push_back(queue.open);
  queue.open = 0;
  queue.fenced = false;
}

void Wait(Warp& warp, unsigned) {
  const Quiet quiet;
  WgmmaQueue& queue = warp.wgmma;
  const auto left = static_cast<size_t>(In<int>(warp, 0));
  queue.fenced = false;
  while (queue.batches.size() > left) {
    for (size_t i = 0; i < queue.batches.front(); ++i) {
      WgmmaProduct& product = queue.products[i];
      if (!product.computed) Compute(BlockOf(warp), product);
      const auto sums = product.sums;
      if (--sums->products > 0) continue;
      for (int lane = 0; lane < 32; ++lane) {
        std::copy_n(sums->values.begin() + lane * (sums->n / 2), sums->n / 2, sums->registers[lane]);
      }
      queue.sums.erase(sums);
    }
    queue.products.erase(queue.products.begin(), queue.products.begin() + static_cast<int64_t>(queue.batches.front()));
    queue.batches.erase(queue.batches.begin());
  }
}

const WarpOperation kIssue = {"wgmma.mma_async", &Issue, true, false};
const WarpOperation kFence = {"wgmma.fence", &Fence, true, false};
const WarpOperation kCommit = {"wgmma.commit_group", &Commit, true, false};
const WarpOperation kWait = {"wgmma.wait_group", &Wait, true, false};

}  // namespace

uint32_t SharedAddress(const void* shared) {
  const Block& block = *RunningIn("an address of shared memory").its_block;
  const auto start = reinterpret_cast<uintptr_t>(block.shared.dynamic());
  return static_cast<uint32_t>(kFirstAddress + start % 1024 + (reinterpret_cast<uintptr_t>(shared) - start));
}

void WgmmaFence(Site site) { Collective(kFence, kWholeWarp, nullptr, nullptr, site); }
void WgmmaCommit(Site site) { Collective(kCommit, kWholeWarp, nullptr, nullptr, site); }
void WgmmaWait(int batches_left, Site site) { Collective(kWait, kWholeWarp, &batches_left, nullptr, site); }

void WgmmaS8(int32_t* d, int n, const uint32_t* a, uint64_t b, bool add, Site site) {
  CheckHopper("wgmma", site);
  const Operands operands = {d, a, b, n, add};
  Collective(kIssue, kWholeWarp, &operands, nullptr, site);
}

void CheckAllProductsWaited(const Warp& warp) {
  if (warp.wgmma.products.empty()) return;
  Die("a warp returned with %zu wgmma products that it never waited for, the first from %s", warp.wgmma.products.size(),
      ToString(warp.wgmma.products.front().site).c_str());
}

void CheckSameProducts(const Block& block) {
  for (const Warp& warp : block.warps) {
    const std::vector<WgmmaIssue>& issues = block.wgmma_issues[warp.id / 4];
    if (warp.wgmma.issued == issues.size()) continue;
    Die("wgmma: warp %u issued %zu products, another of its warpgroup %zu", warp.id, warp.wgmma.issued, issues.size());
  }
}

}  // namespace eaq::kernels::emulation
