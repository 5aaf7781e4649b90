#include "eaq/report/format.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace eaq::report_internal {
namespace {

TEST(Format, Numbers) {
  EXPECT_EQ(Fixed(1.25, 1), "1.2");  // half to even, as the C library rounds
  EXPECT_EQ(Fixed(-0.00001, 3), "0.000");
  EXPECT_EQ(Fixed(std::nan(""), 3), "nan");
  EXPECT_EQ(Signed(0.5, 2), "+0.50");
  EXPECT_EQ(Signed(-0.5, 2), "-0.50");
  EXPECT_EQ(Signed(0.0001, 2), "0.00");
  EXPECT_EQ(Exact(0.1), "0.10000000000000001");
  EXPECT_EQ(Exact(std::numeric_limits<double>::infinity()), "");
  EXPECT_EQ(DigitsFor(0.0012), 4);
  EXPECT_EQ(DigitsFor(0.03), 3);
  EXPECT_EQ(DigitsFor(12), 2);
  EXPECT_EQ(DigitsFor(std::nan("")), 4);
  EXPECT_EQ(Seconds(0.84), "0.8 s");
  EXPECT_EQ(Seconds(200), "3 min 20 s");
  EXPECT_EQ(Seconds(3720), "1 h 2 min");
  EXPECT_EQ(Bytes(1310720), "1.25 MiB");
}

TEST(Format, HolmP) {
  PairedResult r;
  r.p_value = 0.003;
  r.p_holm = 0.0234;
  EXPECT_EQ(HolmP(r, 10000), "= 0.023");
  r.p_value = r.p_holm = 0.0004;
  EXPECT_EQ(HolmP(r, 10000), "< 0.001");
  // The smallest that 10000 flips can give, times the 24 of the family: a bound, not a value.
  r.p_value = 1 / 10001.0;
  r.p_holm = 24 / 10001.0;
  EXPECT_EQ(HolmP(r, 10000), "\xE2\x89\xA4 0.0024");
  r.p_holm = 0.01241;
  EXPECT_EQ(HolmP(r, 10000), "\xE2\x89\xA4 0.013");
  r.exact = true;
  EXPECT_EQ(HolmP(r, 10000), "= 0.012");
  r.p_holm = 1;
  EXPECT_EQ(HolmP(r, 10000), "= 1.000");
}

TEST(Format, Escapes) {
  EXPECT_EQ(EscapeHtml("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  EXPECT_EQ(EscapeJson("</script>\n\"\\\x01"), "\"\\u003c/script\\u003e\\n\\\"\\\\\\u0001\"");
  EXPECT_EQ(EscapeJson("\xE2\x80\xA8"), "\"\\u2028\"");
  EXPECT_EQ(EscapeLatex("50 % of a_b & \\c"), "50 \\% of a\\_b \\& \\textbackslash{}c");
  EXPECT_EQ(EscapeCsv("plain"), "plain");
  EXPECT_EQ(EscapeCsv("a,\"b\""), "\"a,\"\"b\"\"\"");
  EXPECT_EQ(EscapeCsv("=1+1"), "'=1+1");  // no formula in a spreadsheet
  EXPECT_EQ(PlainText("\x1b[31m"), "?[31m");
  EXPECT_EQ(DisplayWidth("\xCE\x94 x"), 3);
}

}  // namespace
}  // namespace eaq::report_internal
