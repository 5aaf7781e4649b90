"""injected_bug: a test that the emulator, or a kernel's own check, catches a bug put into a real kernel."""

load("//tools/cuda:cuda.bzl", "EMULATION_COPTS")

def kernel_as_it_is(kernel, check, deps = []):
    """The program KERNEL_right: the checks of a kernel as it stands.

    Args:
      kernel: of //kernels/cuda.
      check: kernels/selftest/CHECK_check.cc.
      deps: what that needs besides the kernel.
    """
    native.cc_library(
        name = kernel + "_checks",
        testonly = True,
        srcs = ["run_checks.cc", "//kernels/selftest:%s_check.cc" % check],
        copts = EMULATION_COPTS,
        deps = [
            "//kernels/cuda:%s_emu" % kernel,
            "//kernels/cuda:number_types",
            "//kernels/emulation:cuda_emulation",
            "//kernels/selftest",
        ] + deps,
        alwayslink = True,  # checks register themselves
    )
    native.cc_binary(
        name = kernel + "_right",
        testonly = True,
        deps = [kernel + "_checks"],
    )

def injected_bug(name, kernel, change, into, says, flags = []):
    """NAME_test: of //kernels/cuda:KERNEL with the text CHANGE replaced by INTO, somebody says SAYS (a regular expression)."""
    native.genrule(
        name = name + "_source",
        srcs = ["//kernels/cuda:%s.cu" % kernel],
        outs = [name + ".emu.cc"],
        cmd = "$(location inject.sh) $< '%s' '%s' >$@" % (change, into),
        tools = ["inject.sh"],
    )
    native.cc_binary(
        name = name,
        testonly = True,
        # A program's own objects come first: the library's kernel is not asked for.
        srcs = [name + ".emu.cc"],
        copts = EMULATION_COPTS,
        deps = [kernel + "_checks"],
    )
    native.sh_test(
        name = name + "_test",
        size = "medium",
        srcs = ["caught.sh"],
        args = ["$(location %s)" % name, "$(location %s_right)" % kernel, "'%s'" % says] + flags,
        data = [name, kernel + "_right"],
    )
