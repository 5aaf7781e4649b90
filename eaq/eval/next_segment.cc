#include "eaq/eval/next_segment.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/bytes.h"
#include "eaq/base/rng.h"
#include "eaq/base/status_macros.h"
#include "eaq/text/windows.h"

namespace eaq {
namespace {

// Draws for one distractor before the text is called repetitive.
constexpr int kTries = 1000;

}  // namespace

int64_t SegmentsOfDomain(const EvaluationTask::NextSegment& spec, int64_t domain, int64_t domains) {
  return spec.items() / domains + (domain < spec.items() % domains ? 1 : 0);
}

absl::StatusOr<std::vector<SegmentItem>> DrawSegments(const Corpus& corpus, Split split, int64_t items,
                                                      const EvaluationTask::NextSegment& spec,
                                                      const Tokenizer& tokenizer, ThreadPool& pool) {
  const int64_t context = spec.context(), length = spec.context() + spec.segment();
  EAQ_ASSIGN_OR_RETURN(const std::vector<Window> places, CutWindows(corpus, tokenizer, split, length, &pool));
  const int64_t needed = std::max<int64_t>(items, spec.candidates());
  if (static_cast<int64_t>(places.size()) < needed) {
    return absl::InvalidArgumentError(absl::StrCat(
        "next segment: domain ", corpus.name, " has ", places.size(), " places of ", length, " tokens in its ",
        SplitName(split), " split; expected at least ", needed, "; ask for fewer items, a shorter context or segment"));
  }
  const auto segment_of = [context](const Window& place) {
    return std::vector<int32_t>(place.ids.begin() + context, place.ids.end());
  };
  Rng choose(spec.seed(), absl::StrCat("next segment/places/", corpus.name));
  Rng draw(spec.seed(), absl::StrCat("next segment/distractors/", corpus.name));
  std::vector<SegmentItem> out;
  for (const Window& place : SelectWindows(places, items, choose)) {
    SegmentItem item;
    item.document = place.document;
    item.context.assign(place.ids.begin(), place.ids.begin() + context);
    item.candidates.push_back(segment_of(place));
    for (int tries = 0; static_cast<int>(item.candidates.size()) < spec.candidates(); ++tries) {
      if (tries == kTries * spec.candidates()) {
        return absl::InvalidArgumentError(absl::StrCat("next segment: domain ", corpus.name, ", document ",
                                                       item.document, ": no ", spec.candidates(),
                                                       " different segments found; the text repeats itself"));
      }
      std::vector<int32_t> other = segment_of(places[draw.Below(places.size())]);
      if (std::find(item.candidates.begin(), item.candidates.end(), other) == item.candidates.end()) {
        item.candidates.push_back(std::move(other));
      }
    }
    item.gold = static_cast<int32_t>(draw.Below(spec.candidates()));
    std::swap(item.candidates[0], item.candidates[item.gold]);
    out.push_back(std::move(item));
  }
  return out;
}

absl::StatusOr<ChoiceTask> MakeSegmentTask(absl::string_view name, absl::Span<const SegmentDomain> domains,
                                           int64_t max_items, const Tokenizer& tokenizer, int64_t vocab_size) {
  ChoiceTask task;
  task.name = std::string(name);
  task.kind = EvaluationTask::kNextSegment;
  for (const SegmentDomain& domain : domains) {
    int64_t n = domain.items.size();
    if (max_items > 0) n = std::min(n, max_items);
    task.paradigms.push_back({domain.name, "", n});
    for (int64_t i = 0; i < n; ++i) {
      const SegmentItem& from = domain.items[i];
      ChoiceTask::Item& item = task.items.emplace_back();
      item.gold = from.gold;
      item.document = from.document;
      for (const std::vector<int32_t>& segment : from.candidates) {
        ChoiceTask::Choice& choice = item.choices.emplace_back();
        choice.ids = from.context;
        choice.first = static_cast<int64_t>(from.context.size());
        choice.ids.insert(choice.ids.end(), segment.begin(), segment.end());
        const std::string text = tokenizer.Decode(segment);
        choice.bytes = std::max<int64_t>(1, text.size());  // ids without a text say nothing, and nothing has a length
        choice.characters = std::max<int64_t>(1, CharactersOf(text));
      }
      task.chance += 1.0 / static_cast<double>(item.choices.size());
    }
  }
  if (!task.items.empty()) task.chance /= static_cast<double>(task.items.size());
  EAQ_RETURN_IF_ERROR(CheckIds(task, vocab_size));
  return task;
}

std::string SegmentBytes(const std::vector<SegmentItem>& items) {
  ByteWriter out;
  out.Number<uint64_t>(items.size());
  for (const SegmentItem& item : items) {
    out.Text(item.document).Array(absl::MakeConstSpan(item.context)).Number(item.gold);
    out.Number<uint64_t>(item.candidates.size());
    for (const std::vector<int32_t>& segment : item.candidates) out.Array(absl::MakeConstSpan(segment));
  }
  return out.Take();
}

absl::StatusOr<std::vector<SegmentItem>> ParseSegments(absl::string_view bytes) {
  ByteReader in(bytes);
  std::vector<SegmentItem> items;
  const uint64_t count = in.Number<uint64_t>();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    SegmentItem& item = items.emplace_back();
    item.document = in.Text();
    in.Array(&item.context);
    item.gold = in.Number<int32_t>();
    const uint64_t candidates = in.Number<uint64_t>();
    for (uint64_t c = 0; c < candidates && in.ok(); ++c) in.Array(&item.candidates.emplace_back());
    if (item.gold < 0 || static_cast<uint64_t>(item.gold) >= item.candidates.size()) {
      return absl::InvalidArgumentError(absl::StrCat("not a list of segments: gold index ", item.gold));
    }
  }
  if (!in.Finished()) {
    return absl::InvalidArgumentError(absl::StrCat("not a list of segments: ", bytes.size(), " bytes do not fit"));
  }
  return items;
}

}  // namespace eaq
