"""cuda_configure: a repository (@local_cuda) with the CUDA toolkit of this machine, or a stand-in of the same shape.

Environment variables:
  EAQ_CUDA        auto (default): use a toolkit if there is one; 0: pretend there is none; 1: fail without one
  CUDA_HOME       where to look first; then /usr/local/cuda, /opt/cuda
  EAQ_CUDA_ARCHS  compute capabilities to build for, default 80,86,89,90

The repository holds :headers and one cc_library per library below (empty without a toolkit), and defs.bzl with
CUDA_ENABLED, CUDA_HOME, CUDA_VERSION and CUDA_ARCHS.
"""

_LIBRARIES = ["cudart", "cublas", "cublasLt"]
_PLACES = ["/usr/local/cuda", "/opt/cuda"]

def _find_toolkit(rctx):
    """The toolkit's folder, or None."""
    wish = rctx.os.environ.get("EAQ_CUDA", "auto")
    if wish not in ["0", "1", "auto"]:
        fail("EAQ_CUDA=%s; expected 0, 1 or auto" % wish)
    if wish == "0":
        return None
    home = rctx.os.environ.get("CUDA_HOME", "")
    for place in ([home] if home else []) + _PLACES:
        if rctx.path(place + "/bin/nvcc").exists:
            return place
    if wish == "1":
        fail("EAQ_CUDA=1, but there is no bin/nvcc under CUDA_HOME, " + " or ".join(_PLACES))
    return None

def _version(rctx, home):
    """ "13.0", from nvcc's own words."""
    out = rctx.execute([home + "/bin/nvcc", "--version"])
    if out.return_code != 0 or "release " not in out.stdout:
        fail("%s/bin/nvcc --version does not run: %s" % (home, out.stderr))
    return out.stdout.split("release ")[1].split(",")[0]

def _write_defs(rctx, enabled, home, version, archs):
    rctx.file("defs.bzl", "\n".join([
        "CUDA_ENABLED = %r" % enabled,
        "CUDA_HOME = %r" % home,
        "CUDA_VERSION = %r" % version,
        "CUDA_ARCHS = %r" % archs,
        "",
    ]))

def _cuda_configure_impl(rctx):
    build = ["package(default_visibility = [\"//visibility:public\"])"]
    home = _find_toolkit(rctx)
    if not home:
        for name in ["headers"] + _LIBRARIES:
            build.append("cc_library(name = \"%s\")" % name)
        rctx.file("BUILD", "\n".join(build) + "\n")
        _write_defs(rctx, False, "", "", [])
        return

    version = _version(rctx, home)
    archs = [a for a in rctx.os.environ.get("EAQ_CUDA_ARCHS", "80,86,89,90").split(",") if a]
    rctx.symlink(home + "/include", "include")
    build.append("cc_library(name = \"headers\", hdrs = glob([\"include/**\"]), includes = [\"include\"])")
    for name in _LIBRARIES:
        found = False
        for file in ["lib%s.so" % name, "lib%s.so.%s" % (name, version.split(".")[0])]:  # for the linker, for the loader
            if rctx.path(home + "/lib64/" + file).exists:
                rctx.symlink(home + "/lib64/" + file, "lib/" + file)
                found = True
        if found:
            build.append("cc_library(name = \"%s\", srcs = glob([\"lib/lib%s.so*\"]), deps = [\":headers\"])" % (name, name))
        else:
            build.append("cc_library(name = \"%s\")" % name)
    rctx.file("BUILD", "\n".join(build) + "\n")
    _write_defs(rctx, True, home, version, archs)

cuda_configure = repository_rule(
    implementation = _cuda_configure_impl,
    environ = ["CUDA_HOME", "EAQ_CUDA", "EAQ_CUDA_ARCHS"],
    local = True,
    configure = True,
)
