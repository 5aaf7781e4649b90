#include "eaq/ledger/trial_key.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>

#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

constexpr char kSpec[] = R"(
  model { name: "ref-s" path: "models/ref-s" hash: "aa" tokenizer_hash: "bb" }
  scheme { name: "W4A4" weights { bits: 4 group_size: 32 granularity: GROUP } activations { bits: 4 } }
  recipe {
    name: "gptq" title: "GPTQ"
    calibration { balanced {} }
    transform { smoothquant { alpha: 0.7 } }
    allocate { uniform {} }
    solve { gptq { clip { steps: 50 } } }
    router { quantize { weights { bits: 8 } activations { bits: 8 } } }
    activation { static { clip_ratio: 0.9 } }
  }
  calibration { domain { name: "code" } domain { name: "bible" path: "/t" } windows: 32 seed: 3 }
  evaluation { domain { name: "code" } }
  corpus_hash: "c1" corpus_hash: "c2"
  numerics_version: 1
)";

TrialSpec Parse(const std::string& text) {
  TrialSpec spec;
  EXPECT_TRUE(TextFormat::ParseFromString(text, &spec)) << text;
  return spec;
}

TEST(TrialKey, IsAHash) {
  const std::string key = TrialKey(Parse(kSpec));
  EXPECT_EQ(key.size(), 64);
  EXPECT_EQ(key.find_first_not_of("0123456789abcdef"), std::string::npos);
}

// The key of this spec is written into other people's ledgers: if this test fails, either undo the change or raise
// the version in Fingerprint("trial/v1") and docs/formats/trial_key.md.
TEST(TrialKey, IsFrozen) {
  EXPECT_EQ(TrialKey(Parse(kSpec)), "b5db56fd13d29ab9824a02043fa1feaaa7bae3dabe9b566aedb17253aab91a50");
}

// The same without a path. This key is older than IsLateField and than CorpusRef.path as a label.
TEST(TrialKey, WithoutAPathIsFrozen) {
  TrialSpec spec = Parse(kSpec);
  spec.mutable_calibration()->mutable_domain(1)->clear_path();
  EXPECT_EQ(TrialKey(spec), "69b27b2cfde2ea017c91238de5000fd1e7d4c1a336ecc2a4d09b547cb22b0997");
}

TEST(TrialKey, WhereAUsersTextLiesDoesNotMatter) {
  const auto key = [](const char* path, const char* hash) {
    return TrialKey(Parse(std::string("evaluation { domain { name: \"a\" path: \"") + path + "\" } } corpus_hash: \"" +
                          hash + "\""));
  };
  EXPECT_EQ(key("/home/me/a.txt", "c1"), key("/mnt/elsewhere/a.txt", "c1"));
  EXPECT_NE(key("/home/me/a.txt", "c1"), key("/home/me/a.txt", "c2"));  // its content does
  EXPECT_NE(key("/home/me/a.txt", "c1"), key("", "c1"));                // and that it is not the default corpus
}

TEST(TrialKey, LateFieldsEnterOnlyWhenTheyDiffer) {
  const std::string key = TrialKey(Parse("recipe { solve { gptq {} } }"));
  std::set<std::string> keys = {key};
  for (const char* field : {"zero_dead_columns", "stale_group_grids"}) {
    EXPECT_TRUE(IsLateField(std::string("eaq.Gptq.") + field));
    const auto with = [field](const char* value) {
      return TrialKey(Parse(std::string("recipe { solve { gptq { ") + field + ": " + value + " } } }"));
    };
    EXPECT_EQ(with("false"), key) << field;
    EXPECT_TRUE(keys.insert(with("true")).second) << field;
  }
  EXPECT_FALSE(IsLateField("eaq.Gptq.damping"));
  EXPECT_EQ(TrialKey(Parse("recipe { solve { gptq {} } } backend: \"cpu\"")), key);
  EXPECT_TRUE(keys.insert(TrialKey(Parse("recipe { solve { gptq {} } } backend: \"emulation\""))).second);
  EXPECT_TRUE(keys.insert(TrialKey(Parse("recipe { solve { gptq {} } } backend: \"cuda\""))).second);
  EXPECT_EQ(TrialKey(Parse("evaluation { top_k: 0 }")), TrialKey(Parse("evaluation { }")));
  EXPECT_NE(TrialKey(Parse("evaluation { top_k: 5 }")), TrialKey(Parse("evaluation { }")));
  const char* others[][3] = {
      {"solve { gptq {} }", "solve { gptq { order: LAYER } }", "solve { gptq { order: SEQUENTIAL } }"},
      {"solve { nearest {} }", "solve { nearest { fixed_clip_ratio: 1 zero_in_range: true } }",
       "solve { nearest { fixed_clip_ratio: 0.8 } }"},
      {"solve { nearest {} }", "solve { nearest {} }", "solve { nearest { zero_in_range: false } }"},
      {"router { quantize {} }", "router { quantize { fixed_clip_ratio: 1 activation_clip_ratio: 1 } }",
       "router { quantize { activation_clip_ratio: 0.9 } }"}};
  for (const auto& [before, spelled_out, different] : others) {
    const auto of = [](const char* slot) { return TrialKey(Parse(std::string("recipe { ") + slot + " }")); };
    EXPECT_EQ(of(before), of(spelled_out));
    EXPECT_NE(of(before), of(different));
  }
}

TEST(TrialKey, OrderAndCommentsOfTheTextDoNotMatter) {
  EXPECT_EQ(TrialKey(Parse("numerics_version: 1 evaluation { window: 128 windows: 3 }")),
            TrialKey(Parse("# a comment\nevaluation { windows: 3  # three\n window: 128 } numerics_version: 1")));
}

TEST(TrialKey, DefaultsSpelledOutDoNotMatter) {
  const char* spelled[][2] = {
      {"evaluation { }", "evaluation { windows: 64 window: 256 }"},
      {"calibration { }", "calibration { windows: 64 window: 256 seed: 0 }"},
      {"scheme { weights { bits: 4 } }",
       "scheme { quantize_attention: true weights { bits: 4 kind: ASYMMETRIC granularity: PER_CHANNEL group_size: 0 } "
       "}"},
      {"recipe { solve { gptq {} } }",
       "recipe { propagate: QUANTIZED solve { gptq { damping: 0.01 act_order: true static_groups: true block: 128 "
       "zero_dead_columns: false stale_group_grids: false order: LAYER } } }"},
      {"recipe { solve { nearest { clip {} } } }",
       "recipe { solve { nearest { clip { norm: L24 steps: 100 max_shrink: 0.8 } } } }"},
      {"evaluation { domain { name: \"a\" } }", "evaluation { domain { name: \"a\" path: \"\" } }"},
  };
  for (const auto& [left_out, spelled_out] : spelled) {
    EXPECT_EQ(TrialKey(Parse(left_out)), TrialKey(Parse(spelled_out))) << spelled_out;
  }
}

TEST(TrialKey, WhetherAStageIsThereMatters) {
  EXPECT_NE(TrialKey(Parse("recipe { solve { nearest {} } }")),
            TrialKey(Parse("recipe { solve { nearest { clip {} } } }")));
  EXPECT_NE(TrialKey(Parse("recipe { solve { nearest {} } }")), TrialKey(Parse("recipe { solve { gptq {} } }")));
  EXPECT_NE(TrialKey(Parse("scheme { }")), TrialKey(Parse("")));
}

TEST(TrialKey, OrderOfListsMatters) {
  EXPECT_NE(TrialKey(Parse("corpus_hash: \"a\" corpus_hash: \"b\"")),
            TrialKey(Parse("corpus_hash: \"b\" corpus_hash: \"a\"")));
}

TEST(TrialKey, WithoutCalibrationItsSeedDoesNotMatter) {
  EXPECT_EQ(TrialKey(Parse("recipe { calibration { none {} } } calibration { seed: 1 }")),
            TrialKey(Parse("recipe { calibration { none {} } } calibration { seed: 2 }")));
  EXPECT_NE(TrialKey(Parse("recipe { calibration { random {} } } calibration { seed: 1 }")),
            TrialKey(Parse("recipe { calibration { random {} } } calibration { seed: 2 }")));
}

// Another value than what is there.
void Change(Message& message, const FieldDescriptor* field) {
  const Reflection* r = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return r->SetInt32(&message, field, r->GetInt32(message, field) + 1);
    case FieldDescriptor::CPPTYPE_INT64:
      return r->SetInt64(&message, field, r->GetInt64(message, field) + 1);
    case FieldDescriptor::CPPTYPE_UINT64:
      return r->SetUInt64(&message, field, r->GetUInt64(message, field) + 1);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return r->SetDouble(&message, field, r->GetDouble(message, field) + 1e-9);
    case FieldDescriptor::CPPTYPE_BOOL:
      return r->SetBool(&message, field, !r->GetBool(message, field));
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* type = field->enum_type();
      return r->SetEnum(&message, field, type->value((r->GetEnum(message, field)->index() + 1) % type->value_count()));
    }
    case FieldDescriptor::CPPTYPE_STRING:
      return r->SetString(&message, field, r->GetString(message, field) + "x");
    default:
      FAIL() << "the test knows no change for " << field->full_name();
  }
}

// Changes every scalar reachable from NODE, one at a time, and compares ROOT's key; undoes each change.
void ChangeEach(const TrialSpec& root, Message& node, const std::string& key, std::set<std::string>& visited) {
  const Reflection* r = node.GetReflection();
  for (int f = 0; f < node.GetDescriptor()->field_count(); ++f) {
    const FieldDescriptor* field = node.GetDescriptor()->field(f);
    if (field->is_repeated()) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        for (int i = 0; i < r->FieldSize(node, field); ++i) {
          ChangeEach(root, *r->MutableRepeatedMessage(&node, field, i), key, visited);
        }
      } else {
        r->AddString(&node, field, "another");
        EXPECT_NE(TrialKey(root), key) << field->full_name();
        r->RemoveLast(&node, field);
      }
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (r->HasField(node, field)) ChangeEach(root, *r->MutableMessage(&node, field), key, visited);
    } else {
      std::unique_ptr<Message> before(node.New());
      before->CopyFrom(node);
      const bool was_default_corpus = field->full_name() == "eaq.CorpusRef.path" && r->GetString(node, field).empty();
      Change(node, field);
      if (!was_default_corpus && IsLabelField(field->full_name())) {
        EXPECT_EQ(TrialKey(root), key) << field->full_name();
      } else {
        EXPECT_NE(TrialKey(root), key) << field->full_name();
      }
      visited.insert(field->full_name());
      node.CopyFrom(*before);
      EXPECT_EQ(TrialKey(root), key);
    }
  }
}

TEST(TrialKey, EveryFieldButLabelsMatters) {
  TrialSpec spec = Parse(kSpec);
  std::set<std::string> visited;
  ChangeEach(spec, spec, TrialKey(spec), visited);
  EXPECT_THAT(visited, ::testing::IsSupersetOf({"eaq.Grid.bits", "eaq.Gptq.damping", "eaq.ClipSearch.norm",
                                                "eaq.SmoothQuant.alpha", "eaq.CalibrationData.seed",
                                                "eaq.ModelRef.hash", "eaq.ModelRef.name", "eaq.Recipe.title"}));
  EXPECT_GE(visited.size(), 30);
}

// A trial without tasks has the key it had before there were any (IsFrozen); with one, everything but its path counts.
TEST(TrialKey, TasksEnterByContent) {
  TrialSpec spec = Parse(kSpec);
  const std::string without = TrialKey(spec);
  EvaluationTask& task = *spec.mutable_evaluation()->add_task();
  task.set_name("BLiMP");
  task.set_path("/data/blimp");
  task.set_hash("c3");
  const std::string key = TrialKey(spec);
  EXPECT_NE(key, without);
  task.set_protocol(EvaluationTask::ORIGINAL);
  task.set_max_items_per_paradigm(0);
  EXPECT_EQ(TrialKey(spec), key);
  std::set<std::string> visited;
  ChangeEach(spec, spec, key, visited);
  EXPECT_THAT(visited, ::testing::IsSupersetOf({"eaq.EvaluationTask.hash", "eaq.EvaluationTask.path",
                                                "eaq.EvaluationTask.protocol", "eaq.EvaluationTask.prefix_token"}));
  // Minimal pairs have no kind of their own and the key they had before there were others.
  EXPECT_EQ(CanonicalSpec(spec).evaluation().task(0).kind_case(), EvaluationTask::KIND_NOT_SET);
  std::set<std::string> of_kinds;
  task.mutable_multiple_choice();
  ChangeEach(spec, spec, TrialKey(spec), of_kinds);
  task.mutable_last_word();
  ChangeEach(spec, spec, TrialKey(spec), of_kinds);
  task.mutable_next_segment();
  ChangeEach(spec, spec, TrialKey(spec), of_kinds);
  EXPECT_THAT(of_kinds, ::testing::IsSupersetOf(
                            {"eaq.EvaluationTask.MultipleChoice.context_end", "eaq.EvaluationTask.MultipleChoice.bos",
                             "eaq.EvaluationTask.LastWord.max_length", "eaq.EvaluationTask.NextSegment.items",
                             "eaq.EvaluationTask.NextSegment.seed"}));
  EXPECT_TRUE(IsLabelField("eaq.EvaluationTask.path"));
  EXPECT_FALSE(IsLabelField("eaq.EvaluationTask.hash"));
}

TEST(TrialKey, AnyOfALinkedTypeIsCanonicalised) {
  TrialSpec left_out = Parse("recipe { solve { external { } } }"), spelled_out = left_out, other = left_out;
  Gptq gptq;
  left_out.mutable_recipe()->mutable_solve()->mutable_external()->PackFrom(gptq);
  gptq.set_damping(0.01);
  spelled_out.mutable_recipe()->mutable_solve()->mutable_external()->PackFrom(gptq, "example.com/somewhere");
  gptq.set_damping(0.02);
  other.mutable_recipe()->mutable_solve()->mutable_external()->PackFrom(gptq);
  EXPECT_EQ(TrialKey(left_out), TrialKey(spelled_out));
  EXPECT_NE(TrialKey(left_out), TrialKey(other));
}

TEST(TrialKey, AnyOfAnUnknownTypeEntersByItsBytes) {
  TrialSpec a = Parse("recipe { solve { external { type_url: \"x/their.Stage\" value: \"\\001\\002\" } } }"), b = a,
            c = a;
  b.mutable_recipe()->mutable_solve()->mutable_external()->set_value("\001\003");
  c.mutable_recipe()->mutable_solve()->mutable_external()->set_type_url("x/their.OtherStage");
  EXPECT_EQ(TrialKey(a), TrialKey(TrialSpec(a)));
  EXPECT_NE(TrialKey(a), TrialKey(b));
  EXPECT_NE(TrialKey(a), TrialKey(c));
}

TEST(CanonicalSpec, IsAFixedPoint) {
  const TrialSpec once = CanonicalSpec(Parse(kSpec));
  EXPECT_EQ(SerializeDeterministic(CanonicalSpec(once)), SerializeDeterministic(once));
  EXPECT_FALSE(once.model().has_path());
  EXPECT_EQ(once.DebugString().find("/t"), std::string::npos);
}

}  // namespace
}  // namespace eaq
