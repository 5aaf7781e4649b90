#include "eaq/text/windows.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

// The ids of the documents of SPLIT, in order.
absl::StatusOr<std::vector<std::pair<const Document*, std::vector<int32_t>>>> EncodeSplit(const Corpus& corpus,
                                                                                          const Tokenizer& tokenizer,
                                                                                          Split split,
                                                                                          ThreadPool* pool) {
  std::vector<std::pair<const Document*, std::vector<int32_t>>> encoded;
  for (const Document& document : corpus.documents) {
    if (document.split == split) encoded.push_back({&document, {}});
  }
  std::vector<absl::Status> status(encoded.size());
  pool->ParallelFor(static_cast<int64_t>(encoded.size()), [&](int64_t i) {
    absl::StatusOr<std::vector<int32_t>> ids = tokenizer.Encode(encoded[i].first->text);
    status[i] = ids.status();
    if (ids.ok()) encoded[i].second = *std::move(ids);
  });
  for (size_t i = 0; i < status.size(); ++i) {
    EAQ_RETURN_IF_ERROR(Annotate(status[i], absl::StrCat("corpus ", corpus.name, ", document ", encoded[i].first->id)));
  }
  return encoded;
}

}  // namespace

absl::StatusOr<std::vector<Window>> CutWindows(const Corpus& corpus, const Tokenizer& tokenizer, Split split,
                                               int64_t length, ThreadPool* pool) {
  if (length < 1) {
    return absl::InvalidArgumentError(absl::StrCat("windows of ", length, " tokens; expected at least 1"));
  }
  EAQ_ASSIGN_OR_RETURN(const auto encoded, EncodeSplit(corpus, tokenizer, split, pool));
  std::vector<Window> windows;
  for (const auto& [document, ids] : encoded) {
    for (int64_t begin = 0; begin + length <= static_cast<int64_t>(ids.size()); begin += length) {
      windows.push_back(
          {{ids.begin() + begin, ids.begin() + begin + length}, absl::StrCat(corpus.name, "/", document->id)});
    }
  }
  if (windows.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("corpus ", corpus.name, ": none of the ", encoded.size(),
                                                   " documents of its ", SplitName(split), " split has ", length,
                                                   " tokens; give more text or shorter windows"));
  }
  return windows;
}

std::vector<Window> SelectWindows(std::vector<Window> windows, int64_t n, Rng& rng) {
  // Windows of a document in random order, documents in random order.
  std::map<std::string, std::vector<size_t>> by_document;
  for (size_t i = 0; i < windows.size(); ++i) by_document[windows[i].document].push_back(i);
  std::vector<std::vector<size_t>> groups;
  for (auto& [document, indices] : by_document) groups.push_back(std::move(indices));
  rng.Shuffle(groups);
  for (std::vector<size_t>& group : groups) rng.Shuffle(group);
  std::vector<Window> chosen;
  for (size_t round = 0; static_cast<int64_t>(chosen.size()) < n; ++round) {
    bool any = false;
    for (const std::vector<size_t>& group : groups) {
      if (round >= group.size() || static_cast<int64_t>(chosen.size()) >= n) continue;
      chosen.push_back(std::move(windows[group[round]]));
      any = true;
    }
    if (!any) break;
  }
  return chosen;
}

absl::StatusOr<std::vector<int32_t>> TokenStream(const Corpus& corpus, const Tokenizer& tokenizer, Split split,
                                                 int32_t end_of_text, ThreadPool* pool) {
  EAQ_ASSIGN_OR_RETURN(const auto encoded, EncodeSplit(corpus, tokenizer, split, pool));
  std::vector<int32_t> stream;
  for (const auto& [document, ids] : encoded) {
    stream.insert(stream.end(), ids.begin(), ids.end());
    if (end_of_text >= 0) stream.push_back(end_of_text);
  }
  return stream;
}

}  // namespace eaq
