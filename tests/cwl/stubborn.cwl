cwlVersion: v1.2
class: CommandLineTool
doc: Is deaf to SIGTERM, has a child of the same kind in another session, and says in a file when it is so far.
requirements:
  InitialWorkDirRequirement:
    listing:
      - entryname: stubborn.py
        entry: |
          import os, pathlib, signal, subprocess, sys, time

          signal.signal(signal.SIGTERM, signal.SIG_IGN)
          if sys.argv[2:] != ["child"]:
              subprocess.Popen([sys.executable, sys.argv[0], sys.argv[1], "child"], start_new_session=True, env={})
          else:
              pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
          time.sleep(600)
baseCommand: [python3, stubborn.py]
inputs:
  ready: {type: string, inputBinding: {position: 1}}
outputs: {}
