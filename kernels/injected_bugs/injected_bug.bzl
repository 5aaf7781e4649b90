"""injected_bug: a test that the emulator, or a kernel's own check, catches a bug put into a real kernel."""

load("//tools/cuda:cuda.bzl", "EMULATION_COPTS")

def _checks(name, kernel, check, srcs, deps):
    native.cc_binary(
        name = name,
        testonly = True,
        srcs = srcs + ["run_checks.cc", "//kernels/selftest:%s_check.cc" % check],
        copts = EMULATION_COPTS,
        deps = [
            # The program's own objects come first: of a kernel that is among SRCS the library gives the headers alone.
            "//kernels/cuda:%s_emu" % kernel,
            "//kernels/cuda:number_types",
            "//kernels/emulation:cuda_emulation",
            "//kernels/reference",
            "//kernels/selftest",
        ] + deps,
    )

def kernel_as_it_is(kernel, check, deps = []):
    """The program KERNEL_right: the checks of kernels/selftest/CHECK_check.cc, which needs DEPS, on the kernel as it stands."""
    _checks(kernel + "_right", kernel, check, [], deps)

def injected_bug(name, kernel, check, change, into, says, flags = [], deps = []):
    """NAME_test: of //kernels/cuda:KERNEL with the text CHANGE replaced by INTO, somebody says SAYS (a regular expression)."""
    native.genrule(
        name = name + "_source",
        srcs = ["//kernels/cuda:%s.cu" % kernel],
        outs = [name + ".emu.cc"],
        cmd = "$(location inject.sh) $< '%s' '%s' >$@" % (change, into),
        tools = ["inject.sh"],
    )
    _checks(name, kernel, check, [name + ".emu.cc"], deps)
    native.sh_test(
        name = name + "_test",
        size = "medium",
        srcs = ["caught.sh"],
        args = ["$(location %s)" % name, "$(location %s_right)" % kernel, "'%s'" % says] + flags,
        data = [name, kernel + "_right"],
    )
