"""cc_proto: C++ for one .proto file, made by Debian's protoc (bazel's own proto rules would fetch one)."""

def cc_proto(name, src, deps = [], **kwargs):
    """Makes a cc_library NAME from SRC; include "<package path>/<file>.pb.h".

    Args:
      name: the library.
      src: the .proto file, in this package. Imports are written from the workspace root.
      deps: cc_proto libraries whose files SRC imports, as full labels or ":name".
      **kwargs: passed to cc_library.
    """
    stem = src[:-len(".proto")]
    native.filegroup(
        name = name + "_proto_src",
        srcs = [src] + [d + "_proto_src" for d in deps],
    )
    native.genrule(
        name = name + "_gen",
        srcs = [":" + name + "_proto_src"],
        outs = [stem + ".pb.h", stem + ".pb.cc"],
        cmd = "/usr/bin/protoc -I. --cpp_out=$(GENDIR) " + native.package_name() + "/" + src,
    )
    native.cc_library(
        name = name,
        srcs = [stem + ".pb.cc"],
        hdrs = [stem + ".pb.h"],
        deps = deps + ["//third_party/protobuf"],
        **kwargs
    )
