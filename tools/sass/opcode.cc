#include "tools/sass/opcode.h"

#include <cstdio>
#include <unordered_map>

namespace eaq::sass {
namespace {

struct Row {
  const char* name;
  const char* codes;  // hexadecimal, separated by blanks
};

constexpr Row kTable[] = {
    // tensor cores
    {"HMMA", "23c"},
    {"IMMA", "237"},
    {"DMMA", "23f"},
    {"BMMA", "23d"},
    {"QMMA", "27a"},
    {"HGMMA", "9f0 df0"},
    {"IGMMA", "9f1 df1"},
    {"QGMMA", "9f3 df3"},
    // float
    {"FFMA", "223 423 623 823 a23 c23 e23"},
    {"FADD", "221 421 621 821 a21 c21 e21"},
    {"FMUL", "220 420 620 820 a20 c20 e20"},
    {"FMNMX", "209 409 609 809 a09 c09 e09"},
    {"FSETP", "20b 40b 60b 80b a0b c0b e0b"},
    {"FSEL", "208 408 608 808 a08 c08 e08"},
    {"FSET", "20a 40a 80a a0a c0a"},
    {"FCHK", "302 902 b02 d02"},
    {"MUFU", "308 908 b08 d08"},
    {"FRND", "307 313 907 913 b07 b13 d07 d13"},
    {"DFMA", "22b 42b 62b 82b a2b c2b e2b"},
    {"DADD", "229 429 629 829 a29 c29 e29"},
    {"DMUL", "228 428 628 828 a28 c28 e28"},
    {"DSETP", "22a 42a 62a 82a a2a c2a e2a"},
    {"HFMA2", "231 235 431 435 631 635 831 835 a31 a35 c31 c35 e31 e35"},
    {"HADD2", "230 430 630 830 a30 c30 e30"},
    {"HMUL2", "232 432 632 832 a32 c32 e32"},
    {"HSETP2", "234 434 634 834 a34 c34 e34"},
    {"HMNMX2", "240 440 640 840 a40 c40 e40"},
    {"HSET2", "233 433 633 833 a33 c33 e33"},
    // integer
    {"IMAD", "224 225 227 424 425 427 624 625 627 824 825 827 a24 a25 a27 c24 c25 c27 e24 e25 e27"},
    {"IADD3", "210 410 610 810 a10 c10 e10"},
    {"VIADD", "236 836 a36 c36"},
    {"VIADDMNMX", "246 446 646 846 a46 c46"},
    {"VIMNMX", "248 848 a48 c48"},
    {"VIMNMX3", "20f 40f 60f 80f"},
    {"LEA", "211 411 611 811 a11 c11 e11"},
    {"LOP3", "212 412 612 812 a12 c12 e12"},
    {"SHF", "219 419 619 819 a19 c19 e19"},
    {"PRMT", "216 416 616 816 a16 c16 e16"},
    {"SEL", "207 407 607 807 a07 c07 e07"},
    {"ISETP", "20c 40c 60c 80c a0c c0c e0c"},
    {"IMNMX", "217 417 617 817 a17 c17 e17"},
    {"IABS", "213 413 613 813 a13 c13"},
    {"SGXT", "21a 41a 61a 81a a1a c1a"},
    {"BMSK", "21b 41b 61b 81b a1b c1b"},
    {"IDP", "226 426 626 826 a26 c26 e26"},
    {"POPC", "309 909 b09 d09"},
    {"FLO", "300 900 b00 d00"},
    {"BREV", "301 901 b01 d01"},
    // conversions
    {"I2F", "306 312 906 912 b06 b12 d06 d12"},
    {"I2FP", "245 845 a45 c45"},
    {"F2I", "305 311 905 911 b05 b11 d05 d11"},
    {"F2F", "304 310 904 910 b04 b10 d04 d10"},
    {"F2FP", "23e 43e 63e 83e a3e c3e e3e"},
    {"I2I", "238 838 a38 c38"},
    {"I2IP", "239 439 639 839 a39 c39"},
    // memory
    {"LDG", "381 981"},
    {"STG", "386 986"},
    {"LD", "380 980"},
    {"ST", "385 985"},
    {"LDS", "984"},
    {"STS", "388 988"},
    {"LDL", "983"},
    {"STL", "387 987"},
    {"LDC", "b82"},
    {"LDSM", "83b"},
    {"STSM", "844"},
    {"LDGSTS", "dae fae"},
    {"LDGDEPBAR", "9af"},
    {"DEPBAR", "91a"},
    {"UTMALDG", "5b4"},
    {"UTMASTG", "3b5"},
    {"UBLKCP", "3ba"},
    {"SYNCS", "5a7 9a7 5b2"},
    {"ATOM", "38a 38b 98a 98b f8a"},
    {"ATOMG", "3a8 3a9 9a8 9a9"},
    {"ATOMS", "38c 38d 98c 98d f8c f8d"},
    {"RED", "98e"},
    {"REDG", "9a6"},
    {"MEMBAR", "992"},
    {"ERRBAR", "9ab"},
    {"CGAERRBAR", "5ab"},
    {"CCTL", "98f"},
    {"FENCE", "3c6"},
    // between lanes and threads
    {"SHFL", "389 589 989 f89"},
    {"VOTE", "806"},
    {"VOTEU", "886"},
    {"MATCH", "3a1"},
    {"REDUX", "3c4"},
    {"CREDUX", "2cc"},
    {"BAR", "31d 51d 91d b1d"},
    {"WARPSYNC", "348 948"},
    {"WARPGROUP", "9c5"},
    {"UCGABAR", "9c7 dc7"},
    {"USETMAXREG", "9c8"},
    {"ELECT", "82f"},
    {"ENDCOLLECTIVE", "91b"},
    {"NANOSLEEP", "35d 95d"},
    {"YIELD", "946"},
    // moves and predicates
    {"MOV", "202 802 a02 c02"},
    {"CS2R", "805"},
    {"S2R", "919"},
    {"S2UR", "9c3"},
    {"R2UR", "3c2 2ca"},
    {"P2R", "803"},
    {"R2P", "204 804"},
    {"PLOP3", "81c"},
    // uniform datapath
    {"UMOV", "c82 882"},
    {"ULDC", "ab9 abb"},
    {"LDCU", "7ac"},
    {"UIADD3", "290 890"},
    {"UIMAD", "2a4 2a5 2a7 4a4 8a4 8a5 8a7"},
    {"ULOP3", "292 892"},
    {"UISETP", "28c 88c"},
    {"ULEA", "291 891"},
    {"USHF", "299 499 899"},
    {"USEL", "287 887"},
    {"UPRMT", "296 896"},
    {"UPLOP3", "89c"},
    {"UFLO", "2bd 8bd"},
    {"UPOPC", "2bf 8bf"},
    {"UP2UR", "883"},
    {"UR2UP", "29c"},
    {"USGXT", "29a 89a"},
    {"UBMSK", "29b 89b"},
    {"UBREV", "2be 8be"},
    // flow
    {"BRA", "947 547"},
    {"BRX", "949"},
    {"EXIT", "94d"},
    {"CALL", "343 344 943 944"},
    {"RET", "950"},
    {"BSSY", "945"},
    {"BSYNC", "941"},
    {"BREAK", "942"},
    {"BMOV", "355 356 357 955 956 957"},
    {"KILL", "95b"},
    {"BPT", "95c"},
    {"NOP", "918"},
};

std::unordered_map<unsigned, const char*> ReadTable() {
  std::unordered_map<unsigned, const char*> names;
  for (const Row& row : kTable) {
    unsigned code = 0;
    for (const char* c = row.codes;; ++c) {
      if (*c == ' ' || *c == 0) {
        names[code] = row.name;
        code = 0;
        if (*c == 0) break;
      } else {
        code = code * 16 + static_cast<unsigned>(*c <= '9' ? *c - '0' : *c - 'a' + 10);
      }
    }
  }
  return names;
}

}  // namespace

std::string Name(const Instruction& instruction) {
  static const auto& names = *new std::unordered_map<unsigned, const char*>(ReadTable());
  const auto found = names.find(instruction.Code());
  if (found != names.end()) return found->second;
  char text[8];
  snprintf(text, sizeof text, "%03x", instruction.Code());
  return text;
}

bool IsMma(const std::string& name) {
  return name.size() >= 4 && name.compare(name.size() - 3, 3, "MMA") == 0;  // not FFMA: its end is FMA
}

int64_t BranchOffset(const Instruction& instruction, int architecture) {
  const unsigned code = instruction.Code();
  if (code != 0x947 && code != 0x547 && code != 0x944) return 0;
  // A signed field of 48 bits from bit 34 on, in words of 4 bytes; from sm_90 on its low 8 bits stand in bits 16 to 23.
  const uint64_t field = (instruction.low >> 34 | instruction.high << 30) & ((uint64_t{1} << 48) - 1);
  const int64_t words = static_cast<int64_t>(field << 16) >> 16;
  return architecture < 90 ? words * 4 : (words * 256 + static_cast<int64_t>(instruction.low >> 16 & 0xff)) * 4;
}

}  // namespace eaq::sass
