"""The arguments and options of the command line: each is declared once, a command lists its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from onnxpool.cli.call import call


def _target_names() -> list[str]:
    from onnxpool.targets import every

    return [target.name for target in every()]


def _strategies() -> list[str]:
    from onnxpool.rewrites.lower import strategies

    return list(strategies())


Sources = Annotated[
    list[Path],
    typer.Argument(
        metavar="IN...",
        help="Models, or folders of them; - is standard input.",
        show_default=False,
    ),
]
SourcesAndOut = Annotated[
    list[Path],
    typer.Argument(
        metavar="IN... OUT",
        help="A model and the file to write (- is standard input or output); or models, or a "
        "folder of them, and a folder.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.", show_default=False)]
JudgedModel = Annotated[Path, typer.Argument(metavar="MODEL", help="The .onnx file to judge.")]
TimedModels = Annotated[
    list[Path],
    typer.Argument(
        metavar="MODEL...", help="Models that take the same inputs.", show_default=False
    ),
]
Reference = Annotated[
    str,
    typer.Argument(
        metavar="REFERENCE",
        help="Its PyTorch source (file.py:name, pkg.mod:name, or a .pt2 file), an .onnx file, or "
        "an .npz file of inputs and outputs named 0/x, 0/y, 1/x, … name is an nn.Module class, an "
        "instance, or a function that builds one.",
    ),
]
ComparedModel = Annotated[
    str,
    typer.Argument(
        metavar="A",
        help="An .onnx file, a PyTorch source (file.py:name, pkg.mod:name, or a .pt2 file), or an "
        ".npz file of inputs and outputs.",
    ),
]
ComparedWith = Annotated[
    str,
    typer.Argument(
        metavar="B",
        help="Another. It is the reference; a source or .npz is always that of an .onnx file.",
    ),
]
DiffedModel = Annotated[
    Path, typer.Argument(metavar="A", help="An .onnx file.", show_default=False)
]
DiffedWith = Annotated[
    Path, typer.Argument(metavar="B", help="What became of it.", show_default=False)
]
ExitCode = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 1 if they differ, as git diff does.")
]
ReportedModel = Annotated[
    Path, typer.Argument(metavar="IN", help="The model as it came.", show_default=False)
]
ReportedOut = Annotated[
    Path, typer.Argument(metavar="OUT", help="What became of it.", show_default=False)
]
Page = Annotated[
    Path,
    typer.Option("-o", "--out", metavar="FILE", help="The page to write.", show_default=False),
]
PageBeside = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Write a page about it, too: what was found and done, drawings, errors, runtimes.",
        show_default=False,
    ),
]
BothAgainst = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:NAME",
        help="The PyTorch source (or another .onnx, or an .npz file) that both models are compared "
        "with; else OUT is compared with IN.",
        show_default=False,
    ),
]
TimeBoth = Annotated[bool, typer.Option("--bench", help="Time both models, as `bench` does.")]
Timings = Annotated[
    Path | None,
    typer.Option(
        "--bench-json",
        metavar="FILE",
        help="Show the times that `bench --json` wrote.",
        show_default=False,
    ),
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="FILE.py:NAME",
        help="An nn.Module, or a function or class that builds one; or pkg.mod:NAME.",
        show_default=False,
    ),
]
TargetName = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="Say all about one.",
        autocompletion=_target_names,
        show_default=False,
    ),
]

To = Annotated[
    Literal["standard", "custom-op"],
    typer.Option(
        help="What pooling becomes: standard ONNX ops, or custom ops with a function body each, "
        "for ONNX Runtime with and without the library of kernels."
    ),
]
RewrittenTo = Annotated[
    Literal["standard", "custom-op", "caffe"],
    typer.Option(
        "--to",
        help="What pooling becomes: standard ONNX ops, or custom ops with a function body each, "
        "for ONNX Runtime with and without the library of kernels. Or what the model becomes: a "
        "net of Caffe's, OUT.prototxt with OUT.caffemodel beside it.",
    ),
]
Strategy = Annotated[
    str,
    typer.Option(
        metavar="auto|matmul|slice|pool",
        autocompletion=_strategies,
        help="What averages and maxima are built of: the fastest form (auto), MatMul with "
        "constant matrices, Slice with ReduceMean or ReduceMax, or Slice with AveragePool or "
        "MaxPool (the most portable).",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Write for this runtime: `onnxpool targets` lists them.",
        autocompletion=_target_names,
        show_default=False,
    ),
]
TargetPython = Annotated[
    Path | None,
    typer.Option(
        "--target-python",
        metavar="PATH",
        help="A Python that has the runtime of the target: the result is run there, in a process "
        "of its own, and compared with ONNX Runtime before it is written. Default: this one, "
        "where it has it.",
        show_default=False,
    ),
]
Opset = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Opset of the result. Default: that of the model, or the greatest that the target "
        "takes.",
        show_default=False,
    ),
]
ExportedOpset = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Opset of the model; else the exporter's own choice."),
]
InputShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--input-shape",
        metavar="NAME=1x3x224x224",
        help="Fix the sizes that an input leaves open, and fold what becomes constant; once "
        "per input.",
    ),
]
FreezeInputs = Annotated[
    list[str] | None,
    typer.Option(
        "--freeze-inputs",
        metavar="NAME|all",
        help="Make an initializer constant that is an input too, so that nobody can give another; "
        "once per name, or all.",
    ),
]
OutputSizes = Annotated[
    list[str] | None,
    typer.Option(
        "--output-size",
        metavar="NODE=7x7",
        help="What the source of a node pools to, whose windows were frozen at the traced size: "
        "7x7, 3xNone, global, H/4xW/4 for a share of its input, or ordinary where it is not "
        "adaptive; '*' stands for all nodes known to be frozen, in '*=ordinary' for all of which "
        "nothing is known.",
    ),
]
TracedSizes = Annotated[
    list[str] | None,
    typer.Option(
        "--traced-size",
        metavar="INPUT=1x3x224x224",
        help="The shape of an input when the model was traced: it settles all frozen windows.",
    ),
]
Restore = Annotated[
    list[str] | None,
    typer.Option(
        "--restore",
        metavar="NODE=6x6",
        help="Write adaptive pooling for a strided pool that stands in its place, where the source "
        "or the training pooled adaptively; '*' stands for all that inspect warns of.",
    ),
]
NoRepair = Annotated[
    bool,
    typer.Option(
        "--no-repair",
        help="Leave pooling that is right at some sizes only, as dynamic exports are, with a "
        "warning.",
    ),
]
Check = Annotated[
    Literal["regions", "full", "none"],
    typer.Option(
        help="Run every changed region before and after (regions), the whole model as well "
        "(full, reads the weights), or nothing (none)."
    ),
]
ValidatedAgainst = Annotated[
    str | None,
    typer.Option(
        metavar="FILE.py:NAME",
        help="The PyTorch source of the model. It is run at several sizes, and what it pools to is "
        "what frozen pools become. Then the result is validated against it (or against another "
        ".onnx, or an .npz file), as `onnxpool validate` does, and written only if it is right.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A state dict for the source: .pt, .pth or .safetensors."),
]
WeightsOfResult = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="copy|link|reference",
        help="What becomes of weights in files of their own, where OUT is in another folder: copy "
        "(the default; shares blocks where the file system can, and copies nothing that is there), "
        "link (a second name of the file, which ONNX Runtime reads and onnx.load refuses), or "
        "reference (they stay, below the folder of OUT). A FILE instead, or as well, is a state "
        "dict for the source of --reference.",
        show_default=False,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="Seeds torch before the source is built, and random inputs."
    ),
]
Json = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the report as JSON too; - prints it."),
]
Sarif = Annotated[
    Path | None,
    typer.Option("--sarif", metavar="FILE", help="Write SARIF too, for code scanning."),
]
JUnit = Annotated[
    Path | None,
    typer.Option(
        "--junit",
        metavar="FILE",
        help="Write JUnit's XML too; a case fails where --fail-on makes the call fail.",
    ),
]
FailOn = Annotated[
    Literal["note", "warning", "error", "never"],
    typer.Option(
        help="Exit with 1 (a model that was written: 3) if it is wrong at some sizes or runs "
        "nowhere (error), may be (warning), or anything is to be said of it (note)."
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="How many of several models at a time. Default: what the processors and the memory "
        "that are free are enough for.",
        show_default=False,
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Leave pieces of a model that run longer; of several models, give up on one that "
        "takes longer.",
        show_default=False,
    ),
]
MemoryLimit = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="GB",
        help="Leave pieces of a model that need more memory to run. Default: three quarters of "
        "the machine's.",
        show_default=False,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Of several models, skip those with a result that is newer than they are. Other "
        "options than before are not noticed.",
    ),
]


def _remember_debug(value: bool) -> None:
    call.debug = call.debug or value


Debug = Annotated[
    bool,
    typer.Option(
        "--debug", help="Show the traceback of what fails.", callback=_remember_debug, is_eager=True
    ),
]


def _set_loudness(value: bool | None) -> None:
    if value is not None:
        call.quiet, call.verbose = value, not value


Quiet = Annotated[
    bool | None,
    typer.Option(
        "--quiet/--verbose",
        "-q/-v",
        help="Say nothing but what is wrong, or tell every step and its time as well.",
        callback=_set_loudness,
        show_default=False,
    ),
]
ComparedShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="1x8x33x33",
        help="Compare at this size instead of sweeping those that are not fixed; one for each "
        "input, and again for more sizes.",
    ),
]
TimedShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="1x8x33x33",
        help="Size of an input that is not fixed; one for each input, and again for more sizes.",
    ),
]
ExampleShapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="1x8x33x33",
        help="Shape of an example input, in the dtype of the module; once per input. Not needed "
        "where the file has EXAMPLES.",
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Greatest error allowed, as a share of the greatest output. Default: a small "
        "multiple of the error that PyTorch itself makes against float64.",
        show_default=False,
    ),
]
Kernels = Annotated[
    bool,
    typer.Option(
        help="Run custom ops by the kernels of the library, where it is there, or by their "
        "function bodies."
    ),
]
Threads = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Threads of each model; again for more numbers. Default: 1.",
        show_default=False,
    ),
]
Runs = Annotated[int, typer.Option(min=1, metavar="N", help="Rounds that count, after a warm-up.")]
TimedModule = Annotated[
    str | None,
    typer.Option(metavar="FILE.py:NAME", help="Time this module in PyTorch (eager) as well."),
]
OpenVINO = Annotated[
    bool, typer.Option("--openvino", help="Time each model in OpenVINO as well, in float32.")
]
Floor = Annotated[
    bool,
    typer.Option(help="Time one read of the input as well: the sums of ONNX Runtime and PyTorch."),
]
Provider = Annotated[
    str, typer.Option(help="The execution provider of ONNX Runtime that gets the models.")
]
Dynamic = Annotated[
    bool, typer.Option("--dynamic", help="Every axis but the channels may have any size.")
]
Exporter = Annotated[
    Literal["dynamo", "torchscript"], typer.Option(help="Which of torch's exporters traces.")
]
LibraryPath = Annotated[
    bool, typer.Option("--library", help="Print the path of the custom-op library, and no more.")
]
Version = Annotated[
    bool,
    typer.Option(
        "--version", help="Print the versions of onnxpool, its library, and what runs models."
    ),
]
