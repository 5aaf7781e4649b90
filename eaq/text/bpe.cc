#include "eaq/text/bpe.h"

#include <algorithm>
#include <limits>
#include <queue>

namespace eaq {

bool BpeMerges::Add(int32_t left, int32_t right, int32_t merged) {
  const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  return merges_.try_emplace(key, Merge{static_cast<int32_t>(merges_.size()), merged}).second;
}

void BpeMerges::Apply(std::vector<int32_t>* symbols) const {
  if (symbols->size() < 2) return;
  if (symbols->size() <= 32) {
    ApplyShort(symbols);
  } else {
    ApplyLong(symbols);
  }
}

// Words are short: the rank of every pair is kept beside it, and the lowest is looked for by hand.
void BpeMerges::ApplyShort(std::vector<int32_t>* symbols) const {
  constexpr int32_t kNone = std::numeric_limits<int32_t>::max();
  std::vector<int32_t>& s = *symbols;
  Merge pairs[32];
  size_t n = s.size();
  const auto look = [&](size_t i) {
    const Merge* merge = Find(s[i], s[i + 1]);
    pairs[i] = merge == nullptr ? Merge{kNone, -1} : *merge;
  };
  for (size_t i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    if (pairs[best].rank == kNone) break;
    s[best] = pairs[best].merged;
    std::copy(s.begin() + best + 2, s.begin() + n, s.begin() + best + 1);
    --n;
    std::copy(pairs + std::min(best + 2, n), pairs + n, pairs + best + 1);
    if (best > 0) look(best - 1);
    if (best + 1 < n) look(best);
  }
  s.resize(n);
}

// A linked list of symbols and a heap of candidate pairs by (rank, position). A heap entry is stale when one of its
// symbols has changed since.
void BpeMerges::ApplyLong(std::vector<int32_t>* symbols) const {
  struct Node {
    int32_t id;
    int64_t previous, next;  // -1: none
  };
  struct Candidate {
    int32_t rank;
    int64_t position;  // of the left symbol
    int32_t left, right, merged;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };
  const int64_t n = static_cast<int64_t>(symbols->size());
  std::vector<Node> nodes(n);
  for (int64_t i = 0; i < n; ++i) nodes[i] = {(*symbols)[i], i - 1, i + 1 < n ? i + 1 : -1};
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  const auto look = [&](int64_t left) {
    if (left < 0 || nodes[left].next < 0) return;
    const int32_t a = nodes[left].id, b = nodes[nodes[left].next].id;
    if (const Merge* merge = Find(a, b)) heap.push({merge->rank, left, a, b, merge->merged});
  };
  for (int64_t i = 0; i + 1 < n; ++i) look(i);
  constexpr int32_t kGone = std::numeric_limits<int32_t>::min();
  while (!heap.empty()) {
    const Candidate c = heap.top();
    heap.pop();
    Node& left = nodes[c.position];
    if (left.id != c.left || left.next < 0 || nodes[left.next].id != c.right) continue;  // stale
    Node& right = nodes[left.next];
    left.id = c.merged;
    right.id = kGone;
    left.next = right.next;
    if (left.next >= 0) nodes[left.next].previous = c.position;
    look(left.previous);
    look(c.position);
  }
  symbols->clear();
  for (int64_t i = 0; i >= 0; i = nodes[i].next) symbols->push_back(nodes[i].id);
}

}  // namespace eaq
