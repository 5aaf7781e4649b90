// The program //experiments:ledger.
#include "experiments/ledger_verbs.h"

int main(int argc, char** argv) { return eaq::LedgerMain({argv + 1, argv + argc}, nullptr); }
