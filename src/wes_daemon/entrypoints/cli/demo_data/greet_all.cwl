cwlVersion: v1.2
class: Workflow
doc: Greets each of many, one step for each.
requirements: {ScatterFeatureRequirement: {}}
inputs:
  names: string[]
outputs:
  greetings: {type: 'File[]', outputSource: greet/greeting}
steps:
  greet:
    scatter: name
    in: {name: names}
    out: [greeting]
    run:
      class: CommandLineTool
      baseCommand: [echo, Hello]
      inputs:
        name: {type: string, inputBinding: {position: 1}}
      outputs:
        greeting: {type: stdout}
      stdout: hello_$(inputs.name).txt
