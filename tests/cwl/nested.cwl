cwlVersion: v1.2
class: Workflow
requirements: {SubworkflowFeatureRequirement: {}}
inputs:
  message: string
outputs:
  shouted: {type: File, outputSource: inner/shouted}
steps:
  inner:
    run: two_steps.cwl
    in: {message: message}
    out: [shouted]
