cwlVersion: v1.2
class: Workflow
doc: How many different words a text has, in two steps.
inputs:
  text: File
outputs:
  words: {type: File, outputSource: split/words}
  different: {type: string, outputSource: count/different}
steps:
  split:
    in: {text: text}
    out: [words]
    run:
      class: CommandLineTool
      doc: Puts each word on a line of its own.
      baseCommand: [tr, -cs, '[:alpha:]', '\n']
      inputs: {text: File}
      stdin: $(inputs.text.path)
      outputs:
        words: {type: stdout}
      stdout: words.txt
  count:
    in: {words: split/words}
    out: [different]
    run:
      class: CommandLineTool
      doc: Counts the lines that differ.
      baseCommand: [sh, -c, 'printf %s $(sort -fu "$0" | grep -c .)']
      inputs:
        words: {type: File, inputBinding: {position: 1}}
      outputs:
        different:
          type: string
          outputBinding: {glob: different.txt, loadContents: true, outputEval: '$(self[0].contents)'}
      stdout: different.txt
