#include "eaq/recipe/stage_bytes.h"

#include "eaq/base/rng.h"
#include "eaq/base/status_matchers.h"
#include "eaq/model/synthetic.h"
#include "eaq/quant/fake_quant.h"

namespace eaq {
namespace {

using ::testing::HasSubstr;

// Bytes cut anywhere, or with something behind them, are refused; the whole comes back with the same bytes.
template <typename T>
void ExpectComesBack(const T& value, std::string (*to_bytes)(const T&), absl::StatusOr<T> (*parse)(absl::string_view)) {
  const std::string bytes = to_bytes(value);
  EAQ_ASSERT_OK_AND_ASSIGN(const T back, parse(bytes));
  EXPECT_EQ(to_bytes(back), bytes);
  EXPECT_THAT(parse(bytes + "x"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
  for (size_t n = 0; n < bytes.size(); n += 1 + bytes.size() / 97) {
    EXPECT_THAT(parse(absl::string_view(bytes).substr(0, n)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")))
        << n << " of " << bytes.size();
  }
}

TEST(StageBytes, EverythingComesBack) {
  const ModelConfig config = TinyConfig();
  const LayerParams params = RandomLayer(config, 1, 3);
  ExpectComesBack<LayerParams>(params, ParamsBytes, ParseParams);
  ExpectComesBack<std::vector<double>>({1.5, -2, 1e300}, NumbersBytes, ParseNumbers);
  ExpectComesBack<std::vector<std::vector<double>>>({{1.5, -2}, {}, {1e300}}, NumberListsBytes, ParseNumberLists);
  ExpectComesBack<std::vector<Matrix>>({Matrix(2, 3), Matrix(0, 3), Matrix(5, 1)}, StatesBytes, ParseStates);
  EXPECT_EQ(ParseParams(ParamsBytes(params))->linears.at({1, Role::kDown, 3}).weight,
            params.linears.at({1, Role::kDown, 3}).weight);

  // Online transforms, and that linears which shared one still do.
  LayerParams rotated = params;
  rotated.qk_hadamard = 8;
  OnlineTransform online;
  std::vector<int32_t> order(config.hidden_size);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(order.size() - 1 - i);
  online.steps = {OnlineStep::Permute(order), OnlineStep::Hadamard(4), OnlineStep::Divide({2, 3}),
                  OnlineStep::Rotate(Matrix(2, 2))};
  const auto shared = std::make_shared<const OnlineTransform>(online);
  rotated.linears.at({1, Role::kQ}).online = rotated.linears.at({1, Role::kK}).online = shared;
  rotated.linears.at({1, Role::kO}).online = std::make_shared<const OnlineTransform>(online);
  ExpectComesBack<LayerParams>(rotated, ParamsBytes, ParseParams);
  const LayerParams back = *ParseParams(ParamsBytes(rotated));
  EXPECT_EQ(back.qk_hadamard, 8);
  EXPECT_EQ(*back.linears.at({1, Role::kK}).online, online);
  EXPECT_EQ(back.linears.at({1, Role::kK}).online, back.linears.at({1, Role::kQ}).online);
  EXPECT_NE(back.linears.at({1, Role::kO}).online, back.linears.at({1, Role::kQ}).online);
  EXPECT_EQ(back.linears.at({1, Role::kV}).online, nullptr);

  ThreadPool pool(1);
  std::vector<Matrix> hidden(1, Matrix(9, config.hidden_size));
  for (int64_t i = 0; i < hidden[0].size(); ++i) hidden[0].data()[i] = static_cast<float>(i % 7) - 3.0f;
  const LayerProfile profile = *ProfileLayer(**BuildLayer(config, params), hidden, ProfileOptions{}, pool);
  ExpectComesBack<LayerProfile>(profile, ProfileBytes, ParseProfile);

  SolvedLinears solved;
  const GridSpec grid{.bits = 2, .granularity = Granularity::kGroup, .group_size = 16};
  for (const auto& [id, linear] : params.linears) {
    solved[id] = {*QuantizeNearest(linear.weight.view(), grid), id.expert == 2 ? "a note" : ""};
  }
  ExpectComesBack<SolvedLinears>(solved, SolvedBytes, ParseSolved);
  EXPECT_EQ(ParseSolved(SolvedBytes(solved))->at({1, Role::kUp, 2}).weight, (solved[{1, Role::kUp, 2}].weight));

  std::vector<CalibrationWindow> windows(2);
  windows[0] = {{{1, 2, 3}, "corpus/doc"}, "corpus"};
  ExpectComesBack<std::vector<CalibrationWindow>>(windows, WindowsBytes, ParseWindows);
}

// What not every layer has stands behind all else, so that other layers keep their bytes and hashes.
TEST(StageBytes, RoutingAndWidthsOfGroupsComeBackAndCostOthersNothing) {
  LayerParams params = RandomLayer(TinyConfig(), 1, 3);
  const std::string plain = ParamsBytes(params);
  EXPECT_EQ(ParseParams(plain)->routing, nullptr);
  for (const RoutingPolicy& policy : {RoutingPolicy{{0, 2, 5}, {}}, RoutingPolicy{{}, ExpertDrop{0.25f, 0.02f}},
                                      RoutingPolicy{{1, 2}, ExpertDrop{0.5f, 0}}}) {
    params.routing = std::make_shared<const RoutingPolicy>(policy);
    const std::string bytes = ParamsBytes(params);
    EXPECT_EQ(bytes.substr(0, plain.size()), plain);
    EAQ_ASSERT_OK_AND_ASSIGN(const LayerParams back, ParseParams(bytes));
    EXPECT_EQ(*back.routing, policy);
    EXPECT_THAT(ParseParams(bytes + "x").status(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
    EXPECT_THAT(ParseParams(absl::string_view(bytes).substr(0, bytes.size() - 1)).status(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
  }
  SolvedLinears solved;
  const GridSpec grid{.bits = 2, .granularity = Granularity::kGroup, .group_size = 16};
  const Matrix& w = params.linears.at({1, Role::kUp, 2}).weight;
  solved[{1, Role::kQ}] = {*QuantizeNearest(params.linears.at({1, Role::kQ}).weight.view(), WithBits(grid, 1)), ""};
  const std::string without = SolvedBytes(solved);
  solved[{1, Role::kUp, 2}] = {*QuantizeNearest(w.view(), grid, nullptr, std::vector<uint8_t>{1, 3}), "widths"};
  EAQ_ASSERT_OK_AND_ASSIGN(const SolvedLinears back, ParseSolved(SolvedBytes(solved)));
  for (const auto& [id, linear] : solved) EXPECT_EQ(back.at(id).weight, linear.weight);
  EXPECT_EQ(ParseSolved(without)->at({1, Role::kQ}).weight, (solved[{1, Role::kQ}].weight));
  solved[{1, Role::kUp, 2}].weight.group_bits = {1, 9};
  EXPECT_THAT(ParseSolved(SolvedBytes(solved)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("9 bits")));
}

TEST(StageBytes, CodesOutsideTheirGridAreRefused) {
  SolvedLinears solved;
  solved[{}] = {*QuantizeNearest(RandomLayer(TinyConfig(), 0, 3).linears.begin()->second.weight.view(), {.bits = 3}),
                ""};
  solved[{}].weight.codes[5] = 8;
  EXPECT_THAT(ParseSolved(SolvedBytes(solved)), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("")));
}

}  // namespace
}  // namespace eaq
