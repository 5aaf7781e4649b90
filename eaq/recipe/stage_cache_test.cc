#include "eaq/recipe/stage_cache.h"

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"
#include "eaq/base/hash.h"
#include "eaq/base/status_matchers.h"

namespace eaq {
namespace {

std::string Folder(absl::string_view name) { return JoinPath(::testing::TempDir(), name); }

TEST(StageCache, GivesBackWhatWasPut) {
  const StageCache cache(Folder("cache_a"));
  const std::string key = Sha256Hex("a"), bytes("\0binary\xff", 8);
  EXPECT_EQ(cache.Get(key), std::nullopt);
  cache.Put(key, bytes);
  EXPECT_EQ(cache.Get(key), bytes);
  EXPECT_EQ(StageCache(Folder("cache_a")).Get(key), bytes);  // another process
  EXPECT_EQ(cache.Get(Sha256Hex("b")), std::nullopt);
  EXPECT_EQ(cache.hits(), 1);
}

TEST(StageCache, EveryDamagedEntryIsAMissAndGone) {
  const std::string folder = Folder("cache_b"), key = Sha256Hex("k"),
                    path = JoinPath(JoinPath(folder, key.substr(0, 2)), key);
  const StageCache cache(folder);
  cache.Put(key, "payload");
  EAQ_ASSERT_OK_AND_ASSIGN(const std::string whole, ReadFile(path));
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    EAQ_ASSERT_OK(WriteFileAtomic(path, whole.substr(0, cut)));
    EXPECT_EQ(cache.Get(key), std::nullopt) << cut;
    EXPECT_FALSE(FileExists(path)) << cut;
  }
  std::string altered = whole;
  altered.back() ^= 1;
  EAQ_ASSERT_OK(WriteFileAtomic(path, altered));
  EXPECT_EQ(cache.Get(key), std::nullopt);
  EXPECT_EQ(cache.damaged(), static_cast<int64_t>(whole.size()) + 1);
  EAQ_ASSERT_OK(WriteFileAtomic(path, whole));
  EXPECT_EQ(cache.Get(key), "payload");
}

TEST(StageCache, OffOrUnwritableItIsOnlyEmpty) {
  const StageCache off("");
  off.Put("00ff", "x");
  EXPECT_EQ(off.Get("00ff"), std::nullopt);
  const std::string file = Folder("a_file");
  EAQ_ASSERT_OK(WriteFileAtomic(file, ""));
  const StageCache unwritable(JoinPath(file, "below"));
  unwritable.Put("00ff", "x");
  EXPECT_EQ(unwritable.Get("00ff"), std::nullopt);
}

}  // namespace
}  // namespace eaq
