cwlVersion: v1.2
class: CommandLineTool
doc: Fails, so that one sees what that looks like.
baseCommand: [sh, -c, 'echo "sample S1 has no reads: this run fails on purpose" >&2; exit 3']
inputs: {}
outputs: {}
