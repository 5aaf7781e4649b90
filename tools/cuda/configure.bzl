"""Finds a CUDA toolkit, or writes a CPU-only stand-in of the same shape."""

_LIBS = ["cudart", "cublas", "cublasLt"]

def _find(rctx):
    if rctx.os.environ.get("EAQ_CUDA", "auto") == "0":
        return None
    for c in [rctx.os.environ.get("CUDA_HOME", ""), "/usr/local/cuda", "/opt/cuda"]:
        if c and rctx.path(c + "/bin/nvcc").exists:
            return c
    if rctx.os.environ.get("EAQ_CUDA", "auto") == "1":
        fail("EAQ_CUDA=1, but no nvcc under CUDA_HOME, /usr/local/cuda or /opt/cuda")
    return None

def _impl(rctx):
    home = _find(rctx)
    if not home:
        rctx.file("defs.bzl", "CUDA_ENABLED = False\nCUDA_HOME = \"\"\nCUDA_VERSION = \"\"\nCUDA_ARCHS = []\n")
        rctx.file("BUILD", "package(default_visibility = [\"//visibility:public\"])\n" +
                           "cc_library(name = \"headers\")\n" +
                           "".join(["cc_library(name = \"%s\")\n" % l for l in _LIBS]))
        return
    out = rctx.execute([home + "/bin/nvcc", "--version"])
    if out.return_code != 0:
        fail("nvcc does not run: " + out.stderr)
    version = out.stdout.split("release ")[1].split(",")[0]
    archs = [a for a in rctx.os.environ.get("EAQ_CUDA_ARCHS", "80,86,89,90").split(",") if a]
    rctx.symlink(home + "/include", "include")
    have = []
    for l in _LIBS:
        p = rctx.path(home + "/lib64/lib%s.so" % l)
        if p.exists:
            rctx.symlink(p, "lib/lib%s.so" % l)
            soname = rctx.path(home + "/lib64/lib%s.so.%s" % (l, version.split(".")[0]))
            if soname.exists:
                rctx.symlink(soname, "lib/lib%s.so.%s" % (l, version.split(".")[0]))
            have.append(l)
    build = "package(default_visibility = [\"//visibility:public\"])\n"
    build += "cc_library(name = \"headers\", hdrs = glob([\"include/**\"]), includes = [\"include\"])\n"
    for l in _LIBS:
        if l in have:
            build += "cc_library(name = \"%s\", srcs = glob([\"lib/lib%s.so*\"]), deps = [\":headers\"])\n" % (l, l)
        else:
            build += "cc_library(name = \"%s\")\n" % l
    rctx.file("BUILD", build)
    rctx.file("defs.bzl", "CUDA_ENABLED = True\nCUDA_HOME = \"%s\"\nCUDA_VERSION = \"%s\"\nCUDA_ARCHS = %r\n" % (home, version, archs))

cuda_configure = repository_rule(
    implementation = _impl,
    environ = ["CUDA_HOME", "EAQ_CUDA", "EAQ_CUDA_ARCHS", "PATH"],
    local = True,
    configure = True,
)
