cwlVersion: v1.2
class: CommandLineTool
doc: Adds a line to a file outside of the run, which counts how often it was really started; then waits and ends.
baseCommand:
  - sh
  - -c
  - >-
    echo "$1" >> "$0"; sleep "$2"; while [ -n "$4" ] && [ ! -e "$4" ]; do sleep 0.1; done;
    echo "ends with $3" >&2; exit "$3"
inputs:
  ledger: {type: string, inputBinding: {position: 1}}
  line: {type: string, inputBinding: {position: 2}}
  seconds: {type: int, default: 0, inputBinding: {position: 3}}
  code: {type: int, default: 0, inputBinding: {position: 4}}
  file: {type: string?, doc: Whose coming it waits for., inputBinding: {position: 5}}
outputs:
  words: {type: stderr}
