// What a finished trial did to every linear, in a table of a few lines, and all that it left at 16 bits: the part of
// `ledger show` that answers "what exactly was quantized?".
//
//   linears      count  layers  weights                   inputs          before them
//   q, k, v      12     0-3     4 bits                    int4 per token  rotate 128, permute, rotate 128
//   expert down  64     0-3     2 bits (40), 4 bits (24)  int4 per token
//
//   left at 16 bits: embedding, head and norms; weights of router; inputs of router; queries, keys and values
#ifndef EXPERIMENTS_PLAN_TEXT_H_
#define EXPERIMENTS_PLAN_TEXT_H_

#include <string>
#include <vector>

#include "eaq/proto/trial.pb.h"

namespace eaq {

// Rows of cells with a head, for Table(): linears of one role that are treated alike share a row, and so do roles that
// differ in nothing. In the order of their first linear.
std::vector<std::vector<std::string>> PlanTable(const TrialResult& result);

// What the report says of routers, one line each: experts that are pruned, or dropped at run time.
std::vector<std::string> RouterNotes(const TrialResult& result);

// "embedding, head and norms; weights of router; inputs of o, expert down; queries, keys and values".
std::string LeftAt16Bits(const TrialSpec& spec, const TrialResult& result);

}  // namespace eaq

#endif  // EXPERIMENTS_PLAN_TEXT_H_
