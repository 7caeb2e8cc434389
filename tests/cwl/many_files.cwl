cwlVersion: v1.2
class: Workflow
doc: Uses each way in which a step reads and writes files, for directories with unusual names.
requirements:
  InlineJavascriptRequirement: {}
inputs:
  reads: {type: File, secondaryFiles: [.idx]}
steps:
  make:
    in: {reads: reads}
    out: [folder, pair]
    run:
      class: CommandLineTool
      requirements:
        InitialWorkDirRequirement:
          listing:
            - {entry: $(inputs.reads), writable: true}
            - {entryname: note.txt, entry: noted}
      baseCommand: [sh, -c, 'mkdir d; cp "$0" "$0.idx" d; cat "$0" > pair.txt; cp note.txt pair.txt.idx']
      inputs:
        reads: {type: File, secondaryFiles: [.idx], inputBinding: {valueFrom: $(self.basename)}}
      outputs:
        folder: {type: Directory, outputBinding: {glob: d}}
        pair: {type: File, secondaryFiles: [.idx], outputBinding: {glob: 'pair.*t', loadContents: true}}
  read:
    in: {folder: make/folder}
    out: [listed]
    run:
      class: CommandLineTool
      baseCommand: ls
      inputs: {folder: {type: Directory, inputBinding: {}}}
      outputs: {listed: {type: stdout}}
      stdout: listed.txt
outputs:
  folder: {type: Directory, outputSource: make/folder}
  pair: {type: File, outputSource: make/pair}
  listed: {type: File, outputSource: read/listed}
