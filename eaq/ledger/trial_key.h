// The identity of a trial: a hash of everything that can change its result. docs/formats/trial_key.md
//
//   const std::string key = TrialKey(spec);   // 64 hex digits
//
// Two specs that mean the same have the same key: order and comments of the text, defaults spelled out or left out,
// labels (names and titles of recipe, scheme and model; the folders of the model and of the user's texts). Everything
// else changes it.
#ifndef EAQ_LEDGER_TRIAL_KEY_H_
#define EAQ_LEDGER_TRIAL_KEY_H_

#include <string>

#include "eaq/proto/trial.pb.h"

namespace eaq {

// SHA-256 (Fingerprint "trial/v1") of the canonical form, serialized. The planner must have resolved SPEC first:
// model.hash, tokenizer_hash, corpus_hash and numerics_version stand for the content of files and code.
std::string TrialKey(const TrialSpec& spec);

// What enters the key: scalar fields materialised with their proto2 defaults (late ones only when they differ from
// theirs), labels dropped, `calibration` dropped
// when the recipe's calibration stage is `none`, payloads of google.protobuf.Any canonicalised where their type is
// linked in (taken as they are otherwise). Unset submessages stay unset: whether a stage is there is meaning.
TrialSpec CanonicalSpec(const TrialSpec& spec);

// True for the fields that a person may change without changing the trial. FIELD by its full name,
// "eaq.Scheme.name". Of CorpusRef.path, whether it is empty (a default corpus) still counts.
bool IsLabelField(const std::string& field);

// True for optional scalars that are younger than trial/v1 and whose default is what the code did before them. They are
// left out of the canonical form at their default, so that keys stored earlier stay right.
bool IsLateField(const std::string& field);

// MESSAGE's bytes, the same for equal content in one build and, for messages without map fields, in all.
std::string SerializeDeterministic(const google::protobuf::Message& message);

}  // namespace eaq

#endif  // EAQ_LEDGER_TRIAL_KEY_H_
