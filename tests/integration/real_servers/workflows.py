"""The workflows that run at real servers. They need a POSIX shell and no container."""

TWO_STEPS = b"""\
cwlVersion: v1.2
class: Workflow
inputs: {text: File}
outputs:
  count: {type: File, outputSource: counted/result}
steps:
  upper:
    run:
      class: CommandLineTool
      baseCommand: [tr, a-z, A-Z]
      inputs: {text: stdin}
      stdout: upper.txt
      outputs: {result: stdout}
    in: {text: text}
    out: [result]
  counted:
    run:
      class: CommandLineTool
      baseCommand: [wc, -w]
      inputs: {text: stdin}
      stdout: count.txt
      outputs: {result: stdout}
    in: {text: upper/result}
    out: [result]
"""

FAILING = b"""\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'echo "no such reads: lane 7" >&2; exit 3']
inputs: {}
outputs: {}
"""

WAITING = b"""\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'touch "$0.began"; until [ -e "$0" ]; do sleep 0.2; done; echo released']
inputs: {flag: {type: string, inputBinding: {position: 1}}}
stdout: waited.txt
outputs: {waited: stdout}
"""
