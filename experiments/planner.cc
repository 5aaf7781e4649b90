#include "experiments/planner.h"

#include <sys/stat.h>

#include <memory>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/json.h"
#include "eaq/base/status_macros.h"
#include "eaq/checkpoint/model_source.h"
#include "eaq/ledger/provenance.h"
#include "eaq/ledger/trial_key.h"
#include "eaq/model/outliers.h"
#include "eaq/recipe/version.h"
#include "eaq/text/corpus.h"
#include "eaq/text/dpkg.h"
#include "eaq/text/item_files.h"

namespace eaq {
namespace {

// Adds path, size and mtime of a file, or of everything below a folder.
void AddFiles(const std::string& path, Fingerprint& print, int depth = 0) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0 || depth > 32) return;
  print.Add(path).Add(static_cast<int64_t>(info.st_size)).Add(static_cast<int64_t>(info.st_mtim.tv_sec));
  print.Add(static_cast<int64_t>(info.st_mtim.tv_nsec)).Add(static_cast<int64_t>(info.st_ino));
  if (!S_ISDIR(info.st_mode)) return;
  const auto names = ListDirectory(path);
  if (!names.ok()) return;
  for (const std::string& name : *names) AddFiles(JoinPath(path, name), print, depth + 1);
}

// CACHE_FOLDER/hashes.json: {"program": hash, "entries": {fingerprint: [text, ...]}}. Only an accelerator: what cannot
// be read counts as empty, what cannot be written is not written.
class HashCache {
 public:
  explicit HashCache(const std::string& folder) : folder_(folder), path_(JoinPath(folder, "hashes.json")) {
    const auto text = ReadFile(path_);
    if (!text.ok()) return;
    const auto json = ParseJson(*text);
    if (!json.ok() || !json->is_object() || json->value("program", Json()) != Json(OwnBinaryHash())) return;
    const auto entries = json->find("entries");
    if (entries == json->end() || !entries->is_object()) return;
    for (const auto& [key, value] : entries->items()) {
      if (!value.is_array()) continue;
      std::vector<std::string> strings;
      for (const Json& item : value) {
        if (item.is_string()) strings.push_back(item.get<std::string>());
      }
      if (strings.size() == value.size()) entries_[key] = strings;
    }
  }
  const std::vector<std::string>* Find(const std::string& key, size_t size) const {
    const auto it = entries_.find(key);
    return it == entries_.end() || it->second.size() != size ? nullptr : &it->second;
  }
  void Put(const std::string& key, std::vector<std::string> value) {
    entries_[key] = std::move(value);
    Json json = {{"program", OwnBinaryHash()}, {"entries", Json::object()}};
    for (const auto& [k, v] : entries_) json["entries"][k] = v;
    if (MakeDirectories(folder_).ok()) WriteFileAtomic(path_, json.dump(1)).IgnoreError();
  }

 private:
  std::string folder_, path_;
  std::map<std::string, std::vector<std::string>> entries_;
};

absl::StatusOr<std::string> FindPath(const std::string& path, const std::string& spec_folder) {
  if (absl::StartsWith(path, "/")) {
    if (FileExists(path)) return path;
    return absl::NotFoundError(absl::StrCat(path, ": no such file or folder"));
  }
  const std::string beside = JoinPath(spec_folder, path);
  if (FileExists(beside)) return beside;
  const std::string typed = ResolveUserPath(path);
  if (FileExists(typed)) return typed;
  return FindInRepository(path);
}

}  // namespace

Resolvers MakeResolvers(const std::string& spec_folder, const std::string& cache_folder) {
  const auto cache = std::make_shared<HashCache>(cache_folder);
  Resolvers resolvers;
  resolvers.model = [=](const std::string& path) -> absl::StatusOr<ResolvedModel> {
    auto found = FindPath(path, spec_folder);
    EAQ_RETURN_IF_ERROR(Annotate(found.status(), absl::StrCat("model ", path)));
    Fingerprint print("sweep/model/v1");
    AddFiles(*found, print);
    if (const auto* hit = cache->Find(print.Hex(), 2)) return ResolvedModel{*found, (*hit)[0], (*hit)[1]};
    EAQ_ASSIGN_OR_RETURN(const auto source, OpenModel(*found));
    EAQ_ASSIGN_OR_RETURN(const std::string tokenizer, ReadFile(JoinPath(*found, "tokenizer.json")));
    const ResolvedModel model{*found, source->hash(), Sha256Hex(tokenizer)};
    cache->Put(print.Hex(), {model.hash, model.tokenizer_hash});
    return model;
  };
  resolvers.corpus = [=](const CorpusRef& ref) -> absl::StatusOr<ResolvedCorpus> {
    Fingerprint print("sweep/corpus/v1");
    print.Add(ref.name());
    ResolvedCorpus resolved;
    if (!ref.path().empty()) {
      auto found = FindPath(ref.path(), spec_folder);
      EAQ_RETURN_IF_ERROR(Annotate(found.status(), absl::StrCat("corpus ", ref.name())));
      resolved.path = *found;
      AddFiles(resolved.path, print);
    } else {
      for (const CorpusInfo& info : DefaultCorpora()) {
        if (info.name != ref.name()) continue;
        const auto package = FindInstalledPackage(info.package);
        EAQ_RETURN_IF_ERROR(Annotate(package.status(), absl::StrCat("corpus ", ref.name())));
        print.Add(package->name).Add(package->version).Add(package->architecture);
      }
    }
    if (const auto* hit = cache->Find(print.Hex(), 2)) {
      resolved.sha256 = (*hit)[0];
      resolved.description = (*hit)[1];
      return resolved;
    }
    EAQ_ASSIGN_OR_RETURN(const Corpus corpus, LoadCorpus(ref.name(), resolved.path));
    resolved.sha256 = corpus.sha256;
    resolved.description = corpus.package.empty()
                               ? absl::StrCat(resolved.path, " ", corpus.sha256)
                               : absl::StrCat(corpus.package, " ", corpus.version, " ", corpus.sha256);
    cache->Put(print.Hex(), {resolved.sha256, resolved.description});
    return resolved;
  };
  resolvers.task = [=](const EvaluationTask& task) -> absl::StatusOr<ResolvedCorpus> {
    auto found = FindPath(task.path(), spec_folder);
    EAQ_RETURN_IF_ERROR(Annotate(found.status(), absl::StrCat("task ", task.name())));
    ResolvedCorpus resolved;
    resolved.path = *found;
    Fingerprint print("sweep/task/v2");
    print.Add(static_cast<int>(task.kind_case()));
    AddFiles(resolved.path, print);
    if (const auto* hit = cache->Find(print.Hex(), 1)) {
      resolved.sha256 = (*hit)[0];
    } else {
      EvaluationTask there = task;
      there.set_path(resolved.path);
      EAQ_ASSIGN_OR_RETURN(const ItemSet items, LoadItems(there));
      resolved.sha256 = items.sha256;
      cache->Put(print.Hex(), {resolved.sha256});
    }
    resolved.description = absl::StrCat(resolved.path, " ", resolved.sha256);
    return resolved;
  };
  return resolvers;
}

absl::StatusOr<SweepPlan> Resolve(std::vector<TrialSpec> trials, int numerics_version, const Resolvers& resolvers) {
  SweepPlan plan;
  std::map<std::string, ResolvedModel> models;
  std::map<std::pair<std::string, std::string>, ResolvedCorpus> corpora;
  std::set<std::string> keys;
  for (TrialSpec& trial : trials) {
    const std::string path = trial.model().path();
    if (models.count(path) == 0) {
      EAQ_ASSIGN_OR_RETURN(models[path], resolvers.model(path));
    }
    const ResolvedModel& model = models[path];
    ModelRef& ref = *trial.mutable_model();
    if (ref.name().empty()) ref.set_name(Basename(path));
    ref.set_path(model.path);
    ref.set_hash(model.hash);
    if (ref.has_outliers()) {
      const OutlierInjection& o = ref.outliers();
      ref.set_hash(OutlierHash(model.hash, {.channels = o.channels(), .factor = o.factor(), .seed = o.seed()}));
      ref.set_name(absl::StrCat(ref.name(), " with outliers x", o.factor(), " (stress test)"));
    }
    ref.set_tokenizer_hash(model.tokenizer_hash);
    trial.clear_corpus_hash();
    const auto add = [&](CorpusRef& corpus) -> absl::Status {
      const std::pair<std::string, std::string> id(corpus.name(), corpus.path());
      if (corpora.count(id) == 0) {
        EAQ_ASSIGN_OR_RETURN(corpora[id], resolvers.corpus(corpus));
        plan.corpora[corpus.name()] = corpora[id].description;
      }
      if (!corpora[id].path.empty()) corpus.set_path(corpora[id].path);
      trial.add_corpus_hash(corpora[id].sha256);
      return absl::OkStatus();
    };
    if (trial.has_calibration()) {
      for (CorpusRef& corpus : *trial.mutable_calibration()->mutable_domain()) EAQ_RETURN_IF_ERROR(add(corpus));
    }
    for (CorpusRef& corpus : *trial.mutable_evaluation()->mutable_domain()) EAQ_RETURN_IF_ERROR(add(corpus));
    for (EvaluationTask& task : *trial.mutable_evaluation()->mutable_task()) {
      if (task.has_next_segment()) continue;  // made from the domains, whose hashes are there already
      const std::pair<std::string, std::string> id("task " + task.name(), task.path());
      if (corpora.count(id) == 0) {
        EAQ_ASSIGN_OR_RETURN(corpora[id], resolvers.task(task));
        plan.corpora[task.name()] = corpora[id].description;
      }
      if (!corpora[id].path.empty()) task.set_path(corpora[id].path);
      task.set_hash(corpora[id].sha256);
    }
    trial.set_numerics_version(numerics_version + (trial.backend() == "cpu" ? 0 : 1000 * kDeviceNumericsVersion));
    std::string key = TrialKey(trial);
    plan.asked.push_back({key, trial});
    if (keys.insert(key).second) {
      plan.trials.push_back({std::move(key), std::move(trial)});
    } else {
      ++plan.duplicates;
    }
  }
  return plan;
}

std::string TrialLabel(const TrialSpec& spec) {
  std::string label = spec.has_recipe() ? absl::StrCat(spec.recipe().name(), " / ", spec.scheme().name())
                                        : absl::StrCat(spec.model().name(), " / full precision");
  if (spec.has_recipe() && spec.has_calibration()) absl::StrAppend(&label, " / seed ", spec.calibration().seed());
  if (spec.backend() != "cpu") absl::StrAppend(&label, " / ", spec.backend());
  return label;
}

}  // namespace eaq
