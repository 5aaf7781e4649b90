#include "eaq/text/text_cleaning.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace eaq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(NormalizeSpace, OneEmptyLineAtMost) {
  EXPECT_EQ(NormalizeSpace("\n\na  b \t\n\n\n\n  c\n"), "a  b\n\n  c\n");
  EXPECT_EQ(NormalizeSpace(" \n \n"), "");
}

TEST(CleanCode, DropsLegalComments) {
  EXPECT_EQ(CleanCode("#!/usr/bin/python\n# Copyright 2001 by someone.\n# All rights reserved.\n\nimport os\n\n"
                      "# A helper.\ndef f(x):\n    return x  # kept\n"),
            "import os\n\n# A helper.\ndef f(x):\n    return x  # kept\n");
}

TEST(CleanDictEntries, TakesMarkupOut) {
  const std::vector<std::string> entries = CleanDictEntries(
      "Coyote \\Coy\"ote\\ (k?\"?-t?), n. [Mexican coyotl.] (Zool.)\n"
      "   A carnivorous animal ({Canis latrans}), allied\n   to the dog.\n   [1913 Webster]\n\n"
      "ge\n\n   <networking> The {country code} for Georgia, a country.\n\n   (1999-01-27)\n\n"
      "hacker\n   1. One who enjoys programming.\n   2. One who is good at it, quickly.\n\n"
      "GFDL\n\n   Permission is granted to copy and distribute verbatim copies.\n\n"
      "empty headword\n\n");
  EXPECT_THAT(
      entries,
      ElementsAre("Coyote, n. [Mexican coyotl.] (Zool.) A carnivorous animal (Canis latrans), allied to the dog.\n",
                  "ge\nThe country code for Georgia, a country.\n",
                  "hacker\n1. One who enjoys programming.\n2. One who is good at it, quickly.\n"));
}

TEST(CleanMan, KeepsSentencesAndHeadings) {
  const std::string text = CleanMan(
      ".\\\" a comment\n.TH CP 1 \"2022\"\n.de XX\nmacro\n..\n.SH NOM\ncp \\- Copier des fichiers\n.SH DESCRIPTION\n"
      "Copier la \\fISOURCE\\fP vers\nla \\fBCIBLE\\fP.\n.PP\n.TP \n\\fB\\-a\\fP, \\fB\\-\\-archive\\fP\n"
      "identique \\(<= \\-d\n.BR tar (1)\n.TS\nl l.\nx\ty\n.TE\n.nf\nint  main;\n.fi\n.SH TRADUCTION\nPar "
      "quelqu'un.\n");
  EXPECT_EQ(text,
            "NOM\ncp - Copier des fichiers\n\nDESCRIPTION\nCopier la SOURCE vers la CIBLE.\n\n-a, --archive\n"
            "identique <= -d tar(1)\nint  main;\n");
}

TEST(CleanRst, KeepsProseAndCode) {
  const std::string text = CleanRst(
      ".. _label:\n\n:mod:`bisect` --- Bisection\n==========================\n\n.. module:: bisect\n   :synopsis: "
      "Hidden.\n"
      ".. sectionauthor:: Someone <a@b.c>\n\nThis *module* uses ``lists`` and\n:class:`~collections.deque`; see "
      ":ref:`here <label>`.\n\n.. function:: bisect_left(a, x)\n              bisect(a, x)\n\n   Locate **x**::\n\n"
      "      >>> bisect_left([1], 1)\n      0\n\n.. versionadded:: 3.10\n   A key.\n\n.. index:: hidden\n\n"
      "* one item that\n  goes on\n* another\n");
  EXPECT_EQ(
      text,
      "bisect --- Bisection\n\nThis module uses lists and deque; see here.\n\nbisect_left(a, x)\nbisect(a, x)\n\n"
      "Locate x:\n\n>>> bisect_left([1], 1)\n0\n\nNew in version 3.10\nA key.\n\n* one item that goes on\n* another\n");
}

// Any bytes: nothing may crash or hang.
TEST(Cleaning, TakesAnything) {
  for (const char* text : {"",          "\\",
                           "\\f",       "\\[",
                           "\\(",       ".",
                           "'",         ".\\",
                           "``",        ":a:`",
                           "`",         "**",
                           "*",         ".. ::",
                           "..",        "::\n\n",
                           "{",         "(",
                           "[",         "]",
                           " (",        "\\\\",
                           ".SH",       ".IP \"",
                           ".B \"\"\"", "\xFF\xFE\n\xC3"}) {
    // No cleaner makes text: what comes out is not longer than what went in, but for a line's end.
    EXPECT_LE(CleanMan(text).size(), strlen(text) + 1) << text;
    EXPECT_LE(CleanRst(text).size(), strlen(text) + 1) << text;
    EXPECT_LE(CleanCode(text).size(), strlen(text) + 1) << text;
    CleanDictEntries(text);
  }
}

}  // namespace
}  // namespace eaq
